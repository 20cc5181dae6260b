#!/usr/bin/env bash
# timm==1.0.31 (torch 2.15.0)
# Guess: A forward hook on the student sees the student's features; ModelEmaV3's average is a module of its own.
# Behaviour: ModelEmaV3 (and any copy.deepcopy) copies hooks along, and the copy shares the dict or list that the
#   hook writes to. The average's forward pass overwrites the student's features: if the student runs first, the
#   feature loss between the two is exactly 0 with no error; in the other order it is right.
# Seen:
#   feature loss by hand 6.9688; teacher runs first 6.9688; student runs first 0.0000
# Why it matters: Self-distillation and mean teachers collect features by hooks. The loss looks perfect, and its
#   gradient goes into the average. Register hooks after the copy.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv venv -q venv
uv pip install -q --python venv/bin/python torch==2.15.0 torchvision==0.29.2 timm==1.0.31
export OMP_NUM_THREADS=1
venv/bin/python -W ignore - <<'PYTHON'
import torch
from timm.utils import ModelEmaV3

torch.manual_seed(0)
student = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.ReLU(), torch.nn.Linear(8, 4))
features = {}
student[0].register_forward_hook(lambda module, inputs, output: features.update(student=output))
ema = ModelEmaV3(student, decay=0.99)  # a copy: its hook is a copy too
ema.module[0].register_forward_hook(lambda module, inputs, output: features.update(teacher=output))
with torch.no_grad():
    student[0].weight.add_(torch.randn(8, 8))  # the student trains, the average follows slowly

images = torch.randn(16, 8)


def loss(first, second):
    features.clear()
    for model in (first, second):
        model(images)
    return torch.nn.functional.mse_loss(features["student"], features["teacher"]).item()


truth = torch.nn.functional.mse_loss(student[0](images), ema.module[0](images)).item()
student_last, student_first = loss(ema, student), loss(student, ema)
print(f"feature loss by hand {truth:.4f}; teacher runs first {student_last:.4f}; student runs first {student_first:.4f}")
assert abs(student_last - truth) < 1e-6 and student_first == 0 < truth
PYTHON
