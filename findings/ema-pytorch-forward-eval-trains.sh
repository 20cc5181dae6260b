#!/usr/bin/env bash
# ema-pytorch==0.8.3
# Guess: EMA.forward_eval(images) runs the averaged model in eval mode without gradients, as its name and its comment say, and
#   leaves the model as it was.
# Behaviour: It never calls eval(), and only restores the mode. The average is a copy of a model in training mode: dropout is
#   on, batch norms take the batch's statistics, and each evaluation moves the running ones that are saved.
# Seen (a classifier of four classes that was trained with an average, its images in the order of their classes, 32 at a time):
#   forward_eval: top-1 27%, the same images twice agree on 92%
#   after ema.eval(): top-1 100%, agree on 100%
#   forward_eval of brighter images first, then ema.eval(): top-1 75%
# Why it matters: The averaged student is the one that is reported. It looks worse than the online one, differs from call to
#   call, depends on the batch, and is damaged by being evaluated. Call ema.eval() before it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv venv -q venv
uv pip install -q --python venv/bin/python torch==2.15.0 numpy==2.4.6 ema-pytorch==0.8.3
export OMP_NUM_THREADS=1
venv/bin/python -W ignore - <<'PYTHON'
import copy

import torch
from ema_pytorch import EMA
from torch import nn

torch.manual_seed(0)
labels = torch.arange(512) // 128
colours = torch.tensor([[2, 1, 1], [1, 2, 1], [1, 1, 2], [1.3, 1.3, 1.3]])
images = torch.rand(512, 3, 8, 8) * colours[labels][:, :, None, None]
layers = nn.Conv2d(3, 32, 3), nn.BatchNorm2d(32), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.5), nn.Linear(32, 4)
student = nn.Sequential(*layers)
ema = EMA(student, beta=0.9, update_after_step=10, update_every=1)
optimizer = torch.optim.AdamW(student.parameters(), lr=0.01)
for _ in range(150):
    optimizer.zero_grad()
    nn.functional.cross_entropy(student(images), labels).backward()
    optimizer.step()
    ema.update()


def answers(ema, brighter=0.0):
    return torch.cat([ema.forward_eval(batch + brighter) for batch in images.split(32)]).argmax(dim=1)


def top1(given):
    return (given == labels).float().mean().item()


quiet = EMA(student, ema_model=copy.deepcopy(ema.ema_model))
first, second = answers(ema), answers(ema)
print(f"forward_eval: top-1 {top1(first):.0%}, the same images twice agree on {(first == second).float().mean():.0%}")
quiet.eval()
once, again = answers(quiet), answers(quiet)
print(f"after ema.eval(): top-1 {top1(once):.0%}, agree on {(once == again).float().mean():.0%}")
answers(ema, brighter=2.0)
ema.eval()
damaged = top1(answers(ema))
print(f"forward_eval of brighter images first, then ema.eval(): top-1 {damaged:.0%}")
assert top1(once) > 0.95 and torch.equal(once, again)
assert top1(first) < 0.6 and not torch.equal(first, second)
assert damaged < 0.9
PYTHON
