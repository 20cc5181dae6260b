#!/usr/bin/env bash
# kornia==0.9.0
# Guess: An augmentation that is an nn.Module inside a model stops in eval mode, as dropout does.
# Behaviour: kornia's augmentations ignore train() and eval(): they go on drawing flips, crops and noise.
# Seen (a linear classifier of images, and the same behind RandomHorizontalFlip and RandomErasing, in eval mode):
#   images that the augmentation changes in eval mode: 74%
#   top-1: 100.0% without augmentation, 71.7% and 69.9% with it in two passes
# Why it matters: Augmentation on the device is put into the model for speed. Accuracy, latency, stored teacher features and the
#   exported student then include random augmentation, although the model was set to eval(); with mild augmentation the
#   loss is small enough to be taken for the student's. Apply it outside of the model, or only if self.training.
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
from torch import nn

torch.manual_seed(0)
images = torch.rand(1000, 3, 16, 16)
augment = nn.Sequential(K.RandomHorizontalFlip(p=0.5), K.RandomErasing(p=0.5))
bare = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 10)).eval()
whole = nn.Sequential(augment, bare).eval()
assert not any(module.training for module in whole.modules())
with torch.inference_mode():
    labels = bare(images).argmax(dim=1)
    changed = (augment(images) != images).flatten(1).any(dim=1).float().mean().item()
    once, twice = ((whole(images).argmax(dim=1) == labels).float().mean().item() for _ in range(2))
print(f"images that the augmentation changes in eval mode: {changed:.0%}")
print(f"top-1: 100.0% without augmentation, {once:.1%} and {twice:.1%} with it in two passes")
assert 0.65 < changed < 0.85
assert once < 0.9 and twice < 0.9 and once != twice
PYTHON
