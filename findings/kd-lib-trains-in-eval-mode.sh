#!/usr/bin/env bash
# KD_Lib==0.0.32 (torch 2.15.0; KD_Lib pins torch 1.8, its training loop is the same)
# Guess: train_student(epochs=10) trains the student in training mode in every epoch; it evaluates after each one, as usual.
# Behaviour: train() is called once, before the first epoch. The evaluation after it leaves the student in eval mode, and so all
#   further epochs train without dropout and with the batch norms' statistics of the first. Attention and others inherit the loop of
#   VanillaKD, TAKD and DML repeat it. train_teacher evaluates a copy, and does as one would guess.
# Seen (VanillaKD, ten epochs of 8 steps each, a classifier with batch norm and dropout for each):
#   teacher: epochs in training mode 1 2 3 4 5 6 7 8 9 10
#   student: epochs in training mode 1
#   student's running means of the second batch norm, off by 1.02 standard deviations of what it sees; the teacher's 0.09
# Why it matters: Teacher and student are trained in two ways, so that a student that is distilled and one that is trained alone
#   differ by more than the loss, and a student's dropout has no effect. Let a subclass's _evaluate_model end with model.train().
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv venv -q venv
uv pip install -q --python venv/bin/python torch==2.15.0 torchvision==0.29.2 numpy==2.4.6 matplotlib==3.11.2 tensorboard==2.21.0 tqdm==4.70.1
uv pip install -q --python venv/bin/python --no-deps KD_Lib==0.0.32
export OMP_NUM_THREADS=1 MPLBACKEND=Agg
venv/bin/python -W ignore - <<'PYTHON'
import contextlib
import io
import sys
from types import SimpleNamespace

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

sys.modules["KD_Lib.KD.text"] = SimpleNamespace(BERT2LSTM=None, get_essentials=None)  # its text part needs the torchtext of 2021
from KD_Lib.KD import VanillaKD

torch.manual_seed(0)
labels = torch.arange(512) % 4
colours = torch.tensor([[2, 1, 1], [1, 2, 1], [1, 1, 2], [1.3, 1.3, 1.3]])
images = torch.rand(512, 3, 8, 8) * colours[labels][:, :, None, None]
loader = DataLoader(TensorDataset(images, labels), batch_size=64, shuffle=True)


def model():
    blocks = [[nn.Conv2d(inputs, 16, 3), nn.BatchNorm2d(16), nn.ReLU()] for inputs in (3, 16)]
    return nn.Sequential(*blocks[0], *blocks[1], nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(16, 4))


teacher, student = model(), model()
modes = {teacher: [], student: []}
for each in modes:
    each.register_forward_pre_hook(lambda model, inputs: modes[model].append(model.training) if torch.is_grad_enabled() else None)
distilled = VanillaKD(teacher, student, loader, loader, torch.optim.SGD(teacher.parameters(), 0.1), torch.optim.SGD(student.parameters(), 0.1))
with contextlib.redirect_stdout(io.StringIO()):
    distilled.train_teacher(epochs=10, plot_losses=False, save_model=False)
    of_teacher = list(modes[teacher])
    distilled.train_student(epochs=10, plot_losses=False, save_model=False)


def epochs(modes):
    return [epoch + 1 for epoch in range(10) if all(modes[8 * epoch : 8 * (epoch + 1)])]


def off(model):
    """Mean distance between the last batch norm's running means and the means of its inputs, in the inputs' deviations."""
    with torch.no_grad():
        seen = model.eval()[:4](images)
    return ((model[4].running_mean - seen.mean(dim=(0, 2, 3))).abs() / seen.std(dim=(0, 2, 3))).mean().item()


print("teacher: epochs in training mode", *epochs(of_teacher))
print("student: epochs in training mode", *epochs(modes[student]))
print(f"student's running means of the second batch norm, off by {off(student):.2f} standard deviations of what it sees; the teacher's {off(teacher):.2f}")
assert epochs(of_teacher) == list(range(1, 11)) and epochs(modes[student]) == [1]
assert off(student) > 3 * off(teacher)
PYTHON
