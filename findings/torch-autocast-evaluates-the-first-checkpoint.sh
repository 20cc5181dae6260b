#!/usr/bin/env bash
# torch==2.15.0
# Guess: Within a block of torch.autocast a model computes with the weights that it has at that moment.
# Behaviour: Autocast keeps each weight that it has cast until the outermost block ends, and does not notice that the weight was written to
#   since, by load_state_dict, an average's update or an optimizer's step. Linear layers and convolutions go on with the old weights, norms
#   with the new ones. Weights with requires_grad=False are not kept, and cache_enabled=False is right everywhere. The documentation asks
#   to wrap the forward pass and the loss alone, and advises against the backward pass in the block; it does not say that old weights are
#   used. No issue of PyTorch on it was found; pull request 186 of X-GenGroup/Flow-Factory mends a training that stood still.
# Seen (bfloat16 on the CPU; accuracies of three checkpoints that are loaded one after the other; first and last loss of 30 steps of SGD):
#   each in a block of its own:            7% 55% 100%
#   one block:                             7% 8% 8%
#   one block, cache_enabled=False:        7% 55% 100%
#   one block, requires_grad_(False):      7% 55% 100%
#   steps, a block each:                   2.34 to 0.31
#   steps in one block:                    2.34 to 2.30
# Why it matters: A script that evaluates several checkpoints, students or averages in one model, with no_grad and autocast around the
#   loop, gives all of them the numbers of the first.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv venv -q venv
uv pip install -q --python venv/bin/python torch==2.15.0 numpy==2.4.6
export OMP_NUM_THREADS=1
venv/bin/python -W ignore - <<'PYTHON'
import copy
from contextlib import nullcontext

import torch
from torch import nn

torch.manual_seed(0)
centers = torch.randn(10, 32)
labels = torch.randint(0, 10, (1000,))
features = centers[labels] + 0.8 * torch.randn(1000, 32)


def network():
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(32, 64), nn.LayerNorm(64), nn.ReLU(), nn.Linear(64, 10))


def step(model, optimizer):
    optimizer.zero_grad()
    loss = nn.functional.cross_entropy(model(features).float(), labels)
    loss.backward()
    optimizer.step()
    return loss.item()


def block(**given):
    return torch.autocast("cpu", torch.bfloat16, **given)


trained = network()
optimizer = torch.optim.SGD(trained.parameters(), 0.1)
checkpoints = [copy.deepcopy(trained.state_dict())]
for steps in (3, 60):
    for _ in range(steps):
        step(trained, optimizer)
    checkpoints.append(copy.deepcopy(trained.state_dict()))


def evaluate(title, outer, inner, frozen=False):
    """Accuracies of the checkpoints in one model."""
    model = network().eval().requires_grad_(not frozen)
    seen = []
    with torch.no_grad(), outer:
        for checkpoint in checkpoints:
            model.load_state_dict(checkpoint)
            with inner():
                seen.append((model(features).argmax(dim=1) == labels).float().mean().item())
    print(f"{title + ':':38} {' '.join(f'{value:.0%}' for value in seen)}")
    return seen


def train(title, outer, inner):
    """Losses of 30 steps."""
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with outer:
        losses = []
        for _ in range(30):
            with inner():
                losses.append(step(model, optimizer))
    print(f"{title + ':':38} {losses[0]:.2f} to {losses[-1]:.2f}")
    return losses


right = evaluate("each in a block of its own", nullcontext(), block)
wrong = evaluate("one block", block(), nullcontext)
told = evaluate("one block, cache_enabled=False", block(cache_enabled=False), nullcontext)
frozen = evaluate("one block, requires_grad_(False)", block(), nullcontext, frozen=True)
each = train("steps, a block each", nullcontext(), block)
one = train("steps in one block", block(), nullcontext)
assert right[2] > right[0] + 0.4 and told == frozen == right
assert right[0] == wrong[0] and wrong[2] < right[2] - 0.2
assert each[-1] < 0.7 * each[0] and one[-1] > each[-1] + 0.1
PYTHON
