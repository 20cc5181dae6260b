#!/usr/bin/env bash
# cka-pytorch==1.1.3
# Guess: CKA does not change with the scale of the features, nor with the number of passes over the same images (num_epochs, 10 by
#   default); of a model and its copy it is 1. epsilon, "to prevent division by zero", matters where a layer is constant.
# Behaviour: The HSICs are summed over batches and passes, and epsilon = 1e-4 is added to the product of the two sums under the root.
#   The self-HSIC of normalized embeddings is about 1 over their dimensions, so its square is far below it: the value falls with the
#   scale, and rises with the number of batches and passes. No documentation or issue on it was found.
# Seen (256 images in batches of 64, layers of 768; a model and its copy, a model and a noisy one; one pass, 10 passes, 100 passes):
#   features as they are:       copy 1.000 1.000 1.000, noisy 0.757 0.757 0.757
#   normalized:                 copy 0.722 0.995 1.000, noisy 0.544 0.753 0.757
#   normalized, epsilon 1e-12:  copy 1.000 1.000 1.000, noisy 0.757 0.757 0.757
# Why it matters: A student's embeddings that are normalized at the end, as for a cosine loss, look less like the teacher's than they
#   are, and the more so the fewer images are compared. Pass epsilon=1e-12, and look at a copy first.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv venv -q venv
uv pip install -q --python venv/bin/python torch==2.15.0 torchvision==0.29.2 numpy==2.4.6 torchmetrics==1.9.0 cka-pytorch==1.1.3
export OMP_NUM_THREADS=1 MPLBACKEND=Agg
venv/bin/python -W ignore - 2>log <<'PYTHON'
import torch
from cka_pytorch import CKACalculator
from torch import nn
from torch.nn.functional import normalize
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(0)
images = torch.randn(256, 768)
loader = DataLoader(TensorDataset(images, torch.zeros(256)), batch_size=64)
weight = torch.randn(768, 768) / 768**0.5
noisy = weight + torch.randn(768, 768) / 768**0.5


class Model(nn.Module):
    def __init__(self, weight, normalized):
        super().__init__()
        self.weight, self.normalized, self.embedding = nn.Parameter(weight), normalized, nn.Identity()

    def forward(self, images):
        features = images @ self.weight
        return self.embedding(normalize(features) if self.normalized else features)


def compare(title, normalized, epsilon=1e-4):
    """CKA with a copy and with the noisy model for 1, 10 and 100 passes."""
    seen = []
    for other in (weight, noisy):
        seen.append([])
        for passes in (1, 10, 100):
            pair = CKACalculator(Model(weight, normalized), Model(other, normalized), ["embedding"], ["embedding"], verbose=False)
            seen[-1].append(pair.calculate_cka_matrix(loader, num_epochs=passes, epsilon=epsilon).item())
    copy, apart = (" ".join(f"{value:.3f}" for value in values) for values in seen)
    print(f"{title + ':':27} copy {copy}, noisy {apart}")
    return seen


plain = compare("features as they are", False)
default = compare("normalized", True)
small = compare("normalized, epsilon 1e-12", True, 1e-12)
for copy, apart in (plain, small):
    assert min(copy) > 0.999 and max(apart) - min(apart) < 0.001 and 0.7 < apart[0] < 0.8
(one, ten, hundred), (apart, *_, last) = default
assert one < 0.75 and 0.98 < ten < 0.999 < hundred and last - apart > 0.15
PYTHON
