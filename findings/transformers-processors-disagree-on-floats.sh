#!/usr/bin/env bash
# transformers==5.24.0 (torch 2.15.0, torchvision 0.29.2, timm 1.0.31)
# Guess: Every image processor takes a float tensor for the same picture, and what is out of its range brings at least a warning, as
#   slow processors of transformers 4 gave one for pixels that were divided by 255 before.
# Behaviour: The processors of ViT, CLIP, DINOv2 and SigLIP divide by 255 whatever the tensor's type and range: shares from 0 to 1, as
#   ToTensor gives them, become black pictures that differ by a grey level at most. TimmWrapperImageProcessor, which AutoImageProcessor
#   returns for checkpoints of timm, does not divide a tensor: floats from 0 to 255 are normalized as they are, 255 times too large; the
#   same floats in a list of tensors are divided, by their range. Nothing is logged in any of these. The docstring of the first tells
#   to set do_rescale=False; no documentation or issue on the difference was found.
# Seen (one noise picture; mean absolute difference from the same picture as uint8, in units of that one's standard deviation):
#                                floats 0 to 1 floats 0 to 255 a list of these
#   ViTImageProcessor:                  3.99             0.01             0.01
#   CLIPImageProcessor:                 2.79             0.01             0.01
#   BitImageProcessor:                  2.79             0.01             0.01
#   SiglipImageProcessor:               3.26             0.01             0.01
#   TimmWrapperImageProcessor:          0.01           653.81             0.00
# Why it matters: A loop over teachers feeds each its processor with one tensor: some of them see black, or pixels in the hundreds, and
#   their embeddings have the right shape. The student learns to imitate them. Give uint8 arrays or PIL images, and check the range.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv venv -q venv
uv pip install -q --python venv/bin/python torch==2.15.0 torchvision==0.29.2 numpy==2.4.6 pillow==13.0.0 timm==1.0.31 transformers==5.24.0
export OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1
venv/bin/python - 2>log <<'PYTHON'
import pathlib
import sys

import timm
import torch
from transformers import BitImageProcessor, CLIPImageProcessor, SiglipImageProcessor, TimmWrapperImageProcessor, ViTImageProcessor

torch.manual_seed(0)
picture = torch.randint(0, 256, (3, 300, 400), dtype=torch.uint8)
config = timm.create_model("vit_tiny_patch16_224").pretrained_cfg
processors = [ViTImageProcessor(), CLIPImageProcessor(), BitImageProcessor(), SiglipImageProcessor(), TimmWrapperImageProcessor(pretrained_cfg=config)]
given = {"floats 0 to 1": picture[None] / 255, "floats 0 to 255": picture[None].float(), "a list of these": [picture.float()]}
print(" " * 26, *(f"{title:>15}" for title in given))
said = pathlib.Path("log").stat().st_size
seen = {}
for processor in processors:
    name = type(processor).__name__
    right = processor(picture.permute(1, 2, 0).numpy(), return_tensors="pt")["pixel_values"]
    pixels = [processor(images, return_tensors="pt")["pixel_values"] for images in given.values()]
    assert all(one.shape == right.shape for one in pixels)
    seen[name] = [((one - right).abs().mean() / right.std()).item() for one in pixels]
    print(f"{name + ':':26}", *(f"{value:15.2f}" for value in seen[name]))
sys.stderr.flush()
assert pathlib.Path("log").stat().st_size == said
timms = seen.pop("TimmWrapperImageProcessor")
assert all(one > 1 and max(other) < 0.05 for one, *other in seen.values())
assert timms[0] < 0.05 and timms[1] > 100 and timms[2] < 0.05
PYTHON
