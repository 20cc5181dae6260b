#!/usr/bin/env bash
# lightly==1.6.0 (torch 2.15.0)
# Guess: loss_fn(out0, out1) + co2(out0, out1), as in the docstring of CO2Regularizer, trains with both; alpha weighs the second.
# Behaviour: The regularizer returns torch.tensor(...) of its value, a copy without a gradient. The sum has the right value, and its
#   gradient is that of the first term, whatever alpha is. torch warns once that a tensor should not be copied so; the documentation
#   does not mention it, and no issue on it was found.
# Seen (an encoder trained for 100 steps by NTXentLoss and alpha times the regularizer, with a memory bank of 256; largest difference of
#   its weights from those of alpha 0; then the regularizer's value before and after, and whether backward() of it alone is possible):
#   alpha   1.0: difference 0.0; from 0.1 to 0.1; requires_grad False
#   alpha 100.0: difference 0.0; from 6.5 to 13.3; requires_grad False
#   alone: element 0 of tensors does not require grad and does not have a grad_fn
# Why it matters: An ablation of alpha compares equal students, to the bit, and reports that the consistency with the soft labels of
#   the other view neither helps nor harms. Write the divergence oneself, and compare gradients with and without a term.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv venv -q venv
uv pip install -q --python venv/bin/python torch==2.15.0 torchvision==0.29.2 numpy==2.4.6 lightly==1.6.0
export OMP_NUM_THREADS=1 LIGHTLY_DID_VERSION_CHECK=True
venv/bin/python -W ignore - <<'PYTHON'
import torch
from lightly.loss import NTXentLoss
from lightly.loss.regularizer import CO2Regularizer
from torch import nn

torch.manual_seed(0)
images = torch.randn(64, 20)


def train(alpha):
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 16))
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    contrast, consistency = NTXentLoss(memory_bank_size=(256, 16)), CO2Regularizer(alpha=alpha, memory_bank_size=(256, 16))
    values = []
    for _ in range(100):
        first, second = (model(images + 0.3 * torch.randn_like(images)) for _ in range(2))
        regularizer = consistency(first, second.detach())
        loss = contrast(first, second) + regularizer
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        values.append(regularizer.item())
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()]), values, regularizer.requires_grad


without, _, _ = train(0.0)
for alpha in (1.0, 100.0):
    weights, values, learns = train(alpha)
    difference = (weights - without).abs().max().item()
    print(f"alpha {alpha:5.1f}: difference {difference:.1f}; from {values[0]:.1f} to {values[-1]:.1f}; requires_grad {learns}")
    assert difference == 0 and not learns and values[0] > 0

first = torch.randn(8, 16, requires_grad=True)
try:
    CO2Regularizer()(first, torch.randn(8, 16)).backward()
except RuntimeError as error:
    print(f"alone: {str(error).splitlines()[0]}")
else:
    raise AssertionError("it has a gradient")
PYTHON
