#!/usr/bin/env bash
# torch-pruning==1.6.1 (torch 2.15.0)
# Guess: GroupTaylorImportance counts the layers that target_types names, batch norms among them by default, as GroupMagnitudeImportance and
#   GroupHessianImportance do.
# Behaviour: Where it should look for batch norms it looks for group norms. By default their weights do not count. With batch norms alone
#   in target_types the importance is None, and the pruner passes over each layer: the model stays as it was, without a word. The
#   docstring does not mention it; no issue on it was found.
# Seen (a convolution of 16 channels with a batch norm whose first 8 weights are zero, gradients of a mean square; half of the channels are to
#   be cut by the batch norm alone; whether there is an importance, channels that are left, how many of the dead ones are cut):
#   GroupMagnitudeImportance: importance True, 8 channels left, 8 of 8 dead ones cut
#   GroupHessianImportance:   importance True, 8 channels left, 8 of 8 dead ones cut
#   GroupTaylorImportance:    importance False, 16 channels left, 0 of 8 dead ones cut
# Why it matters: A table of criteria "on the scales of the batch norms" has the whole student in the row of Taylor, at its full accuracy, and
#   at a pruning ratio that it does not have. Count the parameters after each step.
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

torch.manual_seed(0)
images = torch.randn(8, 3, 8, 8)
model = nn.Sequential(nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 4, 1)).eval()
with torch.no_grad():
    model[1].weight[:8] = 0
    model[1].bias[:8] = 0

seen = {}
for name in ("GroupMagnitudeImportance", "GroupHessianImportance", "GroupTaylorImportance"):
    student = copy.deepcopy(model)
    student(images).square().mean().backward()
    importance = getattr(torch_pruning.importance, name)(target_types=[nn.modules.batchnorm._BatchNorm])
    if name == "GroupHessianImportance":
        importance.accumulate_grad(student)
    graph = torch_pruning.DependencyGraph().build_dependency(student, example_inputs=images)
    group = graph.get_pruning_group(student[0], torch_pruning.prune_conv_out_channels, idxs=list(range(16)))
    given = importance(group)
    torch_pruning.pruner.BasePruner(student, images, importance, pruning_ratio=0.5, ignored_layers=[student[3]]).step()
    left, dead = student[0].out_channels, 8 - (student[1].weight == 0).sum().item()
    seen[name] = given is not None, left, dead
    print(f"{name + ':':25} importance {given is not None}, {left} channels left, {dead} of 8 dead ones cut")
assert seen["GroupMagnitudeImportance"] == seen["GroupHessianImportance"] == (True, 8, 8)
assert seen["GroupTaylorImportance"] == (False, 16, 0)
PYTHON
