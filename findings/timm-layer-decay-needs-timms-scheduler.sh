#!/usr/bin/env bash
# timm==1.0.31 (torch 2.15.0)
# Guess: create_optimizer_v2(model, ..., layer_decay=0.65) returns an optimizer whose learning rates fall from the head to the first layer.
#   Its docstring says that they are scaled, and its example has no scheduler.
# Behaviour: Each group has the full rate, and beside it an entry lr_scale that no optimizer reads. timm's schedulers multiply by it;
#   torch's do not know it. At a constant rate, or with a scheduler of torch, all layers learn at the full rate, and no warning says so.
#   The documentation does not mention it. Pull request 2532, which scales the rates themselves, was closed.
# Seen (test_vit, SGD; how far one step moves the patch embedding's weights when all gradients are 1, as a share of the head's, in the
#   first three epochs; 0.65 to the power of the seven layers between them is 0.049):
#   constant rate:                1.000 1.000 1.000
#   torch's CosineAnnealingLR:    1.000 1.000 1.000
#   torch's OneCycleLR:           1.000 1.000 1.000
#   timm's CosineLRScheduler:     0.049 0.049 0.049
# Why it matters: A pretrained student is fine-tuned at the head's rate in all of its layers, and a comparison of values of the layer decay
#   compares equal runs. Multiply the rate of each group by its lr_scale once, before the scheduler is made.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv venv -q venv
uv pip install -q --python venv/bin/python torch==2.15.0 torchvision==0.29.2 numpy==2.4.6 timm==1.0.31
export OMP_NUM_THREADS=1
venv/bin/python -W ignore - 2>log <<'PYTHON'
import timm
import torch
from timm.optim import create_optimizer_v2
from timm.scheduler import CosineLRScheduler
from torch.optim.lr_scheduler import CosineAnnealingLR, OneCycleLR


def judge(title, build):
    """How far each of three steps, one an epoch, moves the first layer, as a share of the last one's way."""
    torch.manual_seed(0)
    model = timm.create_model("test_vit", num_classes=10)
    first, last = model.patch_embed.proj.weight, model.head.weight
    optimizer = create_optimizer_v2(model, "momentum", lr=0.1, momentum=0, layer_decay=0.65)
    scheduler = build(optimizer)
    shares = []
    for epoch in range(3):
        for parameter in model.parameters():
            parameter.grad = torch.ones_like(parameter)
        before = first.detach().mean().item(), last.detach().mean().item()
        optimizer.step()
        shares.append((first.mean().item() - before[0]) / (last.mean().item() - before[1]))
        if isinstance(scheduler, CosineLRScheduler):
            scheduler.step(epoch + 1)
        elif scheduler is not None:
            scheduler.step()
    print(f"{title + ':':29} " + " ".join(f"{share:.3f}" for share in shares))
    return shares


constant = judge("constant rate", lambda optimizer: None)
cosine = judge("torch's CosineAnnealingLR", lambda optimizer: CosineAnnealingLR(optimizer, 10))
cycle = judge("torch's OneCycleLR", lambda optimizer: OneCycleLR(optimizer, 0.1, 10, cycle_momentum=False))
own = judge("timm's CosineLRScheduler", lambda optimizer: CosineLRScheduler(optimizer, 10))
assert all(abs(share - 1) < 1e-3 for share in constant + cosine + cycle)
assert all(abs(share - 0.65**7) < 1e-3 for share in own)
PYTHON
