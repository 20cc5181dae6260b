#!/usr/bin/env bash
# coremltools==9.0 (torch 2.15.0)
# Guess: PostTrainingPalettizer finds clusters among the weights of each layer, whatever their scale is. In front of a batch norm it has
#   no meaning.
# Behaviour: By default each layer's weights are rounded to four decimals first. The documentation of the parameter says that weights are
#   rounded, for speed; that a layer's scale decides what is left of it is not said, and there is no warning. Weights below 0.00005 become
#   0. With enable_fast_kmeans_mode=False, or with more decimals, the scale does not matter. No issue on it was found.
# Seen (two convolutions with batch norms, which compute the same at each scale; relative error of the embeddings with 8 bits):
#   standard deviation of the weights:   0.10000 0.00100 0.00010 0.00003
#   default:                             0.002   0.032   0.210   0.487
#   enable_fast_kmeans_mode=False:       0.001   0.001   0.001   0.001
#   rounding_precision=7:                0.001   0.002   0.001   0.002
# Why it matters: Weight decay shrinks convolutions in front of batch norms without end. A student that was trained for longer, or with more
#   of it, seems to be harder to compress, and 8 bits to be too few. Pass a rounding_precision that fits the smallest layer.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv venv -q --python 3.11 venv
uv pip install -q --python venv/bin/python torch==2.15.0 torchvision==0.29.2 numpy==2.4.6 coremltools==9.0
export OMP_NUM_THREADS=1
venv/bin/python -W ignore - 2>log <<'PYTHON'
import torch
from coremltools.optimize.torch.palettization import PostTrainingPalettizer, PostTrainingPalettizerConfig
from torch import nn

scales = (0.1, 0.001, 0.0001, 0.00003)
images = torch.randn(32, 3, 12, 12, generator=torch.Generator().manual_seed(0))


def student(scale):
    """A network whose weights have this scale, which its batch norms take out again."""
    torch.manual_seed(0)
    layers = []
    for width in (3, 8):
        layers += [nn.Conv2d(width, 8, 3, bias=False), nn.BatchNorm2d(8, eps=1e-20, momentum=None), nn.ReLU()]
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with torch.no_grad():
        for layer in model:
            if isinstance(layer, nn.Conv2d):
                layer.weight.normal_().mul_(scale)
        model(images)
    return model.eval()


def judge(title, **settings):
    row = []
    for scale in scales:
        model = student(scale)
        config = PostTrainingPalettizerConfig.from_dict({"global_config": {"n_bits": 8, **settings}})
        with torch.no_grad():
            right, found = model(images), PostTrainingPalettizer(model, config).compress()(images)
        row.append(((found - right).norm() / right.norm()).item())
    print(f"{title + ':':36} " + " ".join(f"{error:<7.3f}" for error in row).rstrip())
    return row


print(f"{'standard deviation of the weights:':36} " + " ".join(f"{scale:<7.5f}" for scale in scales).rstrip())
default = judge("default")
exact = judge("enable_fast_kmeans_mode=False", enable_fast_kmeans_mode=False)
more = judge("rounding_precision=7", rounding_precision=7)
assert default[0] < 0.01 and default[1] > 2 * exact[1] and default[2] > 0.1 and default[3] > 0.4
assert all(error < 0.01 for error in exact + more)
PYTHON
