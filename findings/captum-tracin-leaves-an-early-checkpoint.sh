#!/usr/bin/env bash
# captum==0.9.0 (torch 2.15.0)
# Guess: TracInCP(student, ...).influence(...) reads the student and its checkpoints, and leaves the student as it is.
# Behaviour: It loads each checkpoint into the student that it was given, and the last one of the list stays there. TracInCPFast does the
#   same. No warning says so. A comment in the source asks whether to restore; the documentation of these classes does not mention it,
#   and no issue on it was found.
# Seen (a student after 300 steps, with checkpoints of steps 1 to 3; its accuracy before, when the object is made, and after influence()):
#   TracInCP:      100%, 100%, 68%; weights are those of step 3: True
#   TracInCPFast:  100%, 100%, 68%; weights are those of step 3: True
# Why it matters: Who asks which images taught a student something, and evaluates, exports or trains it afterwards, has a student of the
#   past in hand: the last that was saved, or the early ones that TracIn is often given. Pass a copy.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv venv -q venv
uv pip install -q --python venv/bin/python torch==2.15.0 torchvision==0.29.2 numpy==2.4.6 captum==0.9.0
export OMP_NUM_THREADS=1 MPLBACKEND=Agg
venv/bin/python - 2>log <<'PYTHON'
from copy import deepcopy

import torch
from captum.influence import TracInCP, TracInCPFast
from torch import nn
from torch.utils.data import TensorDataset

torch.manual_seed(0)
images = torch.randn(256, 8)
labels = images[:, :4].argmax(dim=1)
data = TensorDataset(images, labels)


class Student(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Linear(8, 64), nn.Linear(64, 4)

    def forward(self, images):
        return self.head(self.body(images).relu())


def train(model, steps, keep):
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    for step in range(steps):
        if step in keep:
            torch.save(model.state_dict(), f"{step}.pt")
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images), labels, reduction="sum").backward()
        optimizer.step()


def accuracy(model):
    return (model(images).argmax(dim=1) == labels).float().mean().item()


def judge(title, build):
    model = deepcopy(student)
    row = [accuracy(model)]
    tracer = build(model)
    row.append(accuracy(model))
    tracer.influence((images[:4], labels[:4]))
    row.append(accuracy(model))
    last = torch.load(files[-1])
    same = all(torch.equal(value, last[name]) for name, value in model.state_dict().items())
    print(f"{title + ':':14} {row[0]:.0%}, {row[1]:.0%}, {row[2]:.0%}; weights are those of step 3: {same}")
    assert row[0] == row[1] == 1 and row[2] < 0.9 and same


student = Student()
train(student, 300, keep=(1, 2, 3))
files = ["1.pt", "2.pt", "3.pt"]
common = {"loss_fn": nn.CrossEntropyLoss(reduction="sum"), "batch_size": 32}
judge("TracInCP", lambda model: TracInCP(model, data, files, sample_wise_grads_per_batch=True, **common))
judge("TracInCPFast", lambda model: TracInCPFast(model, model.head, data, files, **common))
PYTHON
