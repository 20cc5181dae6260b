#!/usr/bin/env bash
# torch-pruning==1.6.1 (torch 2.15.0)
# Guess: FPGMImportance measures how far a filter is from the others, as the paper that it names does: a copy of other filters is cut
#   first, since the rest can replace it. Filters of opposite sign are as far apart as can be.
# Behaviour: The distances are between the filters' squared weights, |w| ** p with p = 2 by default; the signs are gone with p = 1, too. A
#   filter and its negative have the distance 0. The docstring gives the paper's address only; no issue on it was found.
# Seen (a layer of 32 random filters, 8 of them copies of one, 8 others of equal magnitude but different signs, 7 to be cut; how many of
#   the copies and of the others are cut; error of the layer behind after it is fitted anew to what is left):
#   seed 0, FPGMImportance:           0 copies, 7 others; error 0.306
#   seed 0, distances of the weights: 7 copies, 0 others; error 0.000
#   seed 1, FPGMImportance:           0 copies, 7 others; error 0.335
#   seed 1, distances of the weights: 7 copies, 0 others; error 0.000
#   seed 2, FPGMImportance:           0 copies, 7 others; error 0.304
#   seed 2, distances of the weights: 7 copies, 0 others; error 0.000
# Why it matters: An edge detector and its opposite, or the filters of a binary student, are cut as redundant, and true copies stay. What
#   is lost cannot be fitted again, and a student pruned "by FPGM" is compared with papers that cut others. Give BasePruner a function of
#   the group that takes torch.cdist of the weights.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv venv -q venv
uv pip install -q --python venv/bin/python torch==2.15.0 numpy==2.4.6 torch-pruning==1.6.1
export OMP_NUM_THREADS=1
venv/bin/python -W ignore - <<'PYTHON'
import copy

import torch
import torch_pruning
from torch import nn

FILTERS, CUT = 32, 7


def prune(model, images, importance):
    """How many copies and how many filters of equal magnitude are cut, and the error of a new layer behind."""
    student, before = copy.deepcopy(model), model(images).permute(0, 2, 3, 1).flatten(0, 2)
    torch_pruning.pruner.BasePruner(
        student, images[:1], importance=importance, pruning_ratio=CUT / FILTERS, ignored_layers=[student[2]]
    ).step()
    rows = student[0].weight.flatten(1)
    old = model[0].weight.flatten(1)
    assert len(rows) == FILTERS - CUT
    copies = 8 - (rows == old[0]).all(1).sum().item()
    signs = 8 - (rows.abs() == old[8].abs()).all(1).sum().item()
    maps = student[1](student[0](images)).permute(0, 2, 3, 1).flatten(0, 2)
    maps = torch.cat([maps, torch.ones(len(maps), 1)], dim=1)
    left = maps @ torch.linalg.lstsq(maps, before).solution - before
    return copies, signs, (left.norm() / (before - before.mean(0)).norm()).item()


def distances(group):
    rows = group[0].dep.target.module.weight.detach().flatten(1)
    return torch.cdist(rows, rows).sum(0)


for seed in range(3):
    torch.manual_seed(seed)
    images = torch.randn(64, 3, 8, 8)
    model = nn.Sequential(nn.Conv2d(3, FILTERS, 3, bias=False), nn.ReLU(), nn.Conv2d(FILTERS, 4, 1)).requires_grad_(False)
    filters = torch.randn(FILTERS, 3, 3, 3)
    filters[:8] = filters[0]
    filters[8:16] = filters[8:16].sign()
    model[0].weight.copy_(filters)
    model.requires_grad_(True)
    given = prune(model, images, torch_pruning.importance.FPGMImportance())
    by_hand = prune(model, images, distances)
    for title, (copies, signs, error) in (("FPGMImportance", given), ("distances of the weights", by_hand)):
        print(f"seed {seed}, {title + ':':25} {copies} copies, {signs} others; error {error:.3f}")
    assert given[:2] == (0, 7) and given[2] > 0.1
    assert by_hand[:2] == (7, 0) and by_hand[2] < 1e-4
PYTHON
