#!/usr/bin/env bash
# kornia==0.9.0 (torch 2.15.0, Pillow 13.0.0)
# Guess: kornia.geometry.resize(antialias=True) resizes as torch's and Pillow's antialiased filters do, within
#   rounding.
# Behaviour: It blurs with a Gaussian and then samples without antialias: 3.2 grey levels off on average and 13 at
#   most from 256 to 64 pixels, where torch stays within 1. Enlarging by bicubic differs too (a = -0.75), enlarging
#   by bilinear does not.
# Seen:
#   256 to  64, bilinear, grey levels from Pillow: torch mean 0.27, most 1.0, kornia mean 3.21, most 12.6
#   256 to 512, bilinear, grey levels from Pillow: torch mean 0.35, most 1.0, kornia mean 0.35, most 1.0
#   256 to  64, bicubic , grey levels from Pillow: torch mean 0.27, most 1.1, kornia mean 2.16, most 10.0
#   256 to 512, bicubic , grey levels from Pillow: torch mean 0.32, most 1.1, kornia mean 1.16, most 6.0
# Why it matters: Preprocessing on the device with kornia for a teacher that was evaluated with Pillow shifts its
#   features, and a store made on one path does not fit a student fed on the other. Use torch's interpolate or
#   torchvision v2, and test one picture against Pillow.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv venv -q venv
uv pip install -q --python venv/bin/python torch==2.15.0 kornia==0.9.0 pillow==13.0.0 numpy==2.4.6
export OMP_NUM_THREADS=1
venv/bin/python -W ignore - <<'PYTHON'
import kornia
import numpy as np
import torch
from PIL import Image
from torch.nn.functional import interpolate

torch.manual_seed(0)
pictures = 255 * interpolate(torch.rand(8, 3, 64, 64), size=256, mode="bilinear").clamp(0, 1)
pictures = pictures.round()
seen = {}
for mode, filter_ in (("bilinear", Image.Resampling.BILINEAR), ("bicubic", Image.Resampling.BICUBIC)):
    for side in (64, 512):
        pillow = [Image.fromarray(picture.byte().permute(1, 2, 0).numpy()).resize((side, side), filter_) for picture in pictures]
        pillow = torch.tensor(np.stack([np.asarray(picture) for picture in pillow])).permute(0, 3, 1, 2).float()
        ways = {
            "torch": interpolate(pictures, size=side, mode=mode, antialias=True),
            "kornia": kornia.geometry.resize(pictures, (side, side), interpolation=mode, antialias=True),
        }
        for name, resized in ways.items():
            off = (resized.clamp(0, 255) - pillow).abs()
            seen[mode, side, name] = off.mean().item(), off.max().item()
        told = ", ".join(f"{name} mean {seen[mode, side, name][0]:.2f}, most {seen[mode, side, name][1]:.1f}" for name in ways)
        print(f"256 to {side:3d}, {mode:8s}, grey levels from Pillow: {told}")

for (mode, side, name), (mean, most) in seen.items():
    if name == "torch":
        assert mean < 0.5 and most < 2, (mode, side)
    elif side == 64 or mode == "bicubic":
        assert mean > 0.5 and most > 4, (mode, side)
PYTHON
