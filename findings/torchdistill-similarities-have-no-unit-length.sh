#!/usr/bin/env bash
# torchdistill==1.1.5 (torch 2.15.0)
# Guess: SPKDLoss is the loss of similarity-preserving distillation: rows of the matrix of similarities have a length of 1, as in the paper
#   that it names.
# Behaviour: Each row is divided by the sum of its absolute values. The 1 in normalize(similarities, 1) is taken for the norm, where the
#   dimension seems to be meant. All numbers in a row are then smaller by about the root of the batch size, and the loss by the batch size.
#   The documentation gives the paper alone; no issue on it was found.
# Seen (random teachers and students after a ReLU; SPKDLoss, the equation, and how many times its gradient is that of SPKDLoss):
#   batch of 16:     0.000443, 0.005503: 12 times
#   batch of 64:     0.000037, 0.002032: 50 times
#   batch of 256:    0.000002, 0.000553: 213 times
#   with rows of length 1 put in: the equation's value to 7 digits
# Why it matters: With the weight of the paper, 3,000, and its batches the teacher has about a hundredth of its say, and the method seems not
#   to help. A weight that was tuned is right for one batch size alone. Multiply by the batch size, or normalize the rows oneself.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv venv -q venv
uv pip install -q --python venv/bin/python torch==2.15.0 torchvision==0.29.2 numpy==2.4.6 torchdistill==1.1.5
export OMP_NUM_THREADS=1
venv/bin/python -W ignore - 2>log <<'PYTHON'
import torch
from torch.nn.functional import normalize
from torchdistill.losses.mid_level import SPKDLoss


class UnitLength(SPKDLoss):
    def matmul_and_normalize(self, features):
        features = features.flatten(1)
        return normalize(features @ features.T, p=2, dim=1)


def equation(student, teacher):
    """Squared differences of similarities in rows of length 1, over the squared batch size."""
    one, two = (normalize(features @ features.T, p=2, dim=1) for features in (student, teacher))
    return ((one - two) ** 2).sum() / len(student) ** 2


def library(student, teacher, loss=SPKDLoss):
    loss = loss("layer", "layer", reduction="batchmean")
    return loss({"layer": {"output": student}}, {"layer": {"output": teacher}}, None)


for size in (16, 64, 256):
    torch.manual_seed(0)
    teacher, student = torch.randn(size, 128).relu().double(), torch.randn(size, 64).relu().double().requires_grad_()
    values = [loss(student, teacher) for loss in (library, equation)]
    one, two = (torch.autograd.grad(value, student)[0] for value in values)
    times = (two.norm() / one.norm()).item()
    print(f"batch of {str(size) + ':':7} {values[0].item():.6f}, {values[1].item():.6f}: {times:.0f} times")
    assert 0.6 * size < times < size
    assert values[0] < values[1] / 10
    same = torch.isclose(library(student, teacher, UnitLength), values[1], rtol=1e-7).item()
    assert same
print(f"with rows of length 1 put in: the equation's value to {7 if same else 0} digits")
PYTHON
