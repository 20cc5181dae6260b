#!/usr/bin/env bash
# peft==0.21.2
# Guess: A CNN that was trained with LoRA adapters and saved computes the same when the adapters are loaded onto the
#   same pretrained CNN.
# Behaviour: Training moves the running means and variances of the CNN's batch norms, although their weights are frozen;
#   save_pretrained writes adapters alone. The loaded model has the statistics of the pretrained one. Nothing is said.
# Seen:
#   top-1 on the images of training: trained 100%, saved and loaded 25%; warnings 0
#   with modules_to_save=["norm", "head"]: trained 100%, saved and loaded 100%
# Why it matters: LoRA students and teachers with batch norm are good until they are published or resumed. Put the batch norms into
#   modules_to_save, or keep them in eval mode while training.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv venv -q venv
uv pip install -q --python venv/bin/python torch==2.15.0 peft==0.21.2
export OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1
venv/bin/python - <<'PYTHON'
import copy
import warnings
from collections import OrderedDict

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import nn

torch.manual_seed(0)
pretrained = nn.Sequential(OrderedDict(conv=nn.Conv2d(3, 16, 3), norm=nn.BatchNorm2d(16), relu=nn.ReLU(), pool=nn.AdaptiveAvgPool2d(1), flat=nn.Flatten(), head=nn.Linear(16, 4)))
with torch.no_grad():
    for _ in range(50):  # its statistics are those of its own images
        pretrained(torch.rand(64, 3, 8, 8))
labels = torch.arange(256) % 4
images = 3 * torch.rand(256, 3, 8, 8) + torch.tensor([[3.0, 1, 1], [1, 3, 1], [1, 1, 3], [2, 2, 2]])[labels][:, :, None, None]


def top1(model):
    with torch.no_grad():
        return (model.eval()(images).argmax(dim=1) == labels).float().mean().item()


def trained_and_loaded(*saved, folder):
    torch.manual_seed(1)
    config = LoraConfig(r=4, target_modules=["conv"], modules_to_save=list(saved))
    model = get_peft_model(copy.deepcopy(pretrained), config).train()
    optimizer = torch.optim.AdamW([value for value in model.parameters() if value.requires_grad], lr=0.02)
    for _ in range(100):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images), labels).backward()
        optimizer.step()
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        model.save_pretrained(folder)
        loaded = PeftModel.from_pretrained(copy.deepcopy(pretrained), folder)
    return top1(model), top1(loaded), len(warned)


before, after, warned = trained_and_loaded("head", folder="adapters")
print(f"top-1 on the images of training: trained {before:.0%}, saved and loaded {after:.0%}; warnings {warned}")
kept, again, _ = trained_and_loaded("norm", "head", folder="with-norms")
print(f'with modules_to_save=["norm", "head"]: trained {kept:.0%}, saved and loaded {again:.0%}')
assert before > 0.9 and after < 0.7 and warned == 0
assert kept == again > 0.9
PYTHON
