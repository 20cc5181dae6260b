#!/usr/bin/env bash
# fasterai==0.4.1 (torch 2.15.0)
# Guess: Conv_Decomposer().decompose(model, percent_removed=0, method=...) replaces a convolution by smaller ones that compute the same, or
#   nearly, since nothing of the rank is removed. The documentation says of one method, Tucker, that a small error is left.
# Behaviour: "spatial" and "cp" are no decompositions of the filters. "spatial" gives each input channel its own vertical filter, but all of
#   them one horizontal filter, the mean of theirs, whose signs are arbitrary. "cp" weighs input channels by norms, which have no sign. Both
#   miss filters of rank 1, too, which they could hold exactly. "svd" takes the number of input channels for the full rank: of a convolution
#   with more output channels it removes a part at 0. Neither the documentation nor an issue that was found says so.
# Seen (3 x 3 filters; relative error of the convolution's output on random images, with nothing removed):
#   16 to 16 channels, random:      tucker 0.00, svd 0.00, spatial 0.96, cp 0.99
#   16 to 64 channels, random:      tucker 0.00, svd 0.72, spatial 0.96, cp 0.99
#   16 to 16, numbers times a blur: tucker 0.00, svd 0.00, spatial 0.94, cp 0.97
#   16 to 16, rank 1:               tucker 0.00, svd 0.00, spatial 1.00, cp 1.00
# Why it matters: A comparison of methods at equal ratios finds that Tucker is far better, and a student that is decomposed by the others
#   starts about as far from its weights as random ones do. What training repairs is not the decomposition. Compare outputs at 0 first.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv venv -q venv
uv pip install -q --python venv/bin/python torch==2.15.0 torchvision==0.29.2 numpy==2.4.6 fasterai==0.4.1
export OMP_NUM_THREADS=1 MPLBACKEND=Agg
venv/bin/python -W ignore - 2>log <<'PYTHON'
import torch
from fasterai.misc.conv_decomposer import Conv_Decomposer
from torch import nn

methods = ("tucker", "svd", "spatial", "cp")
torch.manual_seed(0)
images = torch.randn(16, 16, 12, 12)


def judge(title, weights):
    """The error of what each method makes of a convolution with these weights."""
    layer = nn.Conv2d(weights.shape[1], weights.shape[0], 3, padding=1, bias=False)
    layer.weight.data = weights
    model = nn.Sequential(layer)
    row = {}
    with torch.no_grad():
        right = model(images)
        for method in methods:
            found = Conv_Decomposer().decompose(model, percent_removed=0.0, method=method)(images)
            row[method] = ((found - right).norm() / right.norm()).item()
    print(f"{title + ':':31} " + ", ".join(f"{method} {error:.2f}" for method, error in row.items()))
    return row


smooth = torch.tensor([1.0, 2.0, 1.0])
blur = torch.outer(smooth, smooth)
plain = judge("16 to 16 channels, random", torch.randn(16, 16, 3, 3))
wide = judge("16 to 64 channels, random", torch.randn(64, 16, 3, 3))
rank = judge("16 to 16, numbers times a blur", torch.randn(16, 16, 1, 1) * blur)
one = judge("16 to 16, rank 1", torch.einsum("o,i,h,w->oihw", torch.randn(16), torch.randn(16), smooth, smooth))
rows = (plain, wide, rank, one)
assert all(row["tucker"] < 1e-4 and row["spatial"] > 0.9 and row["cp"] > 0.9 for row in rows)
assert wide["svd"] > 0.5 and all(row["svd"] < 1e-4 for row in (plain, rank, one))
PYTHON
