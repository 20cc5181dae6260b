#!/usr/bin/env bash
# torch==2.15.0
# Guess: antialias=True matters where a picture is made smaller; where it is enlarged it is without effect.
# Behaviour: True for bilinear. For bicubic, interpolate uses the cubic kernel with a = -0.75 without antialias and
#   a = -0.5 (Pillow's) with it, so enlarging 64 to 224 pixels differs by up to 26 grey levels on noise, 6 on smooth
#   pictures.
# Seen:
#   64 to 224, bilinear, smooth: with and without antialias differ by 0.000 grey levels, at most 0.00
#   64 to 224, bilinear, noise : with and without antialias differ by 0.000 grey levels, at most 0.00
#   64 to 224, bicubic , smooth: with and without antialias differ by 0.884 grey levels, at most 5.79
#   64 to 224, bicubic , noise : with and without antialias differ by 4.009 grey levels, at most 26.47
#   weight at a quarter of a pixel: without 0.8789 (a = -0.75: 0.8789), with 0.8672 (a = -0.5: 0.8672)
# Why it matters: Tiny ImageNet and CIFAR are enlarged for ViT teachers, and position embeddings are enlarged by
#   both kinds of code: leaving out the flag "as we only enlarge" gives the teacher other inputs than its own Pillow
#   preprocessing, and a store of features made the other way does not match.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv venv -q venv
uv pip install -q --python venv/bin/python torch==2.15.0 numpy==2.4.6
export OMP_NUM_THREADS=1
venv/bin/python -W ignore - <<'PYTHON'
import torch
from torch.nn.functional import interpolate

torch.manual_seed(0)
smooth = interpolate(torch.rand(4, 3, 16, 16), size=64, mode="bilinear").clamp(0, 1)
noise = torch.rand(4, 3, 64, 64)
seen = {}
for mode in ("bilinear", "bicubic"):
    for name, pictures in (("smooth", smooth), ("noise", noise)):
        both = [interpolate(pictures, size=224, mode=mode, antialias=flag) for flag in (False, True)]
        off = 255 * (both[0] - both[1]).abs()
        seen[mode, name] = off.max().item()
        print(f"64 to 224, {mode:8s}, {name:6s}: with and without antialias differ by {off.mean():.3f} grey levels, at most {off.max():.2f}")
half = interpolate(torch.eye(9)[4].view(1, 1, 1, 9), size=(1, 18), mode="bicubic", antialias=False)[0, 0, 0, 8].item()
other = interpolate(torch.eye(9)[4].view(1, 1, 1, 9), size=(1, 18), mode="bicubic", antialias=True)[0, 0, 0, 8].item()


def kernel(x, a):  # the cubic convolution of Keys, inside
    return (a + 2) * x**3 - (a + 3) * x**2 + 1


print(f"weight at a quarter of a pixel: without {half:.4f} (a = -0.75: {kernel(0.25, -0.75):.4f}), with {other:.4f} (a = -0.5: {kernel(0.25, -0.5):.4f})")

assert seen["bilinear", "noise"] < 0.01
assert seen["bicubic", "noise"] > 15 and seen["bicubic", "smooth"] > 1
assert abs(half - kernel(0.25, -0.75)) < 1e-6 and abs(other - kernel(0.25, -0.5)) < 1e-6
PYTHON
