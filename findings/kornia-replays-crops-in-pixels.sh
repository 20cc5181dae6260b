#!/usr/bin/env bash
# kornia==0.9.0
# Guess: An AugmentationSequential that is applied with another call's params cuts the same part of the picture, also if the picture
#   is given at another resolution, as to a teacher at 224 px and a student at 96.
# Behaviour: The parameters are corners in pixels of the first input. On a smaller picture the crop is another part, or
#   beyond its border, and is filled up; nothing is raised.
# Seen (from where to where in the picture's width the first crop lies, for a teacher at 224 px and a student at 112):
#   cropping_mode slice: teacher 0.36 to 0.83, student 0.72 to 0.99
#   cropping_mode resample: teacher 0.36 to 0.83, 96% of the student's crop is black
# Why it matters: Teacher and student see different parts of the image; "consistent" distillation becomes the
#   inconsistent one. Crop once, then resize the crop for each model.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv venv -q venv
uv pip install -q --python venv/bin/python torch==2.15.0 kornia==0.9.0
export OMP_NUM_THREADS=1
venv/bin/python -W ignore - <<'PYTHON'
import kornia.augmentation as K
import torch
from torch.nn.functional import interpolate

# The picture's first channel is x, its second y, both from 0 to 1: a crop shows where it was cut.
at = (torch.arange(224) + 0.5) / 224
picture = torch.stack([at.expand(224, 224), at[:, None].expand(224, 224), torch.ones(224, 224)])[None]
half = interpolate(picture, size=112, mode="bilinear", antialias=True)


def part(crop):
    return [round(value.item(), 2) for channel in crop[0, :2] for value in (channel.min(), channel.max())]


for mode in ("slice", "resample"):
    torch.manual_seed(0)
    crop = K.AugmentationSequential(K.RandomResizedCrop((64, 64), scale=(0.1, 0.4), p=1.0, cropping_mode=mode), data_keys=["input"])
    teacher = part(crop(picture))
    shown = crop(half, params=crop._params)
    student, black = part(shown), (shown[0, 2] < 0.5).float().mean().item()
    if mode == "slice":
        print(f"cropping_mode slice: teacher {teacher[0]} to {teacher[1]}, student {student[0]} to {student[1]}")
        assert abs(student[0] - 2 * teacher[0]) < 0.02 < teacher[0]
    else:
        print(f"cropping_mode resample: teacher {teacher[0]} to {teacher[1]}, {black:.0%} of the student's crop is black")
        assert black > 0.5
PYTHON
