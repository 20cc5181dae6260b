#!/usr/bin/env bash
# neural-compressor==2.6 (torch 2.15.0)
# Guess: Where a student's layer is narrower than the teacher's, IntermediateLayersKnowledgeDistillationLoss projects it by a linear layer that
#   is trained with the student, as in FitNets, and saved with it.
# Behaviour: The layer is made in the first step, after the optimizer, and belongs to the loss alone. No optimizer gets it, no state dict has it,
#   no property or log line tells of it: it keeps its random weights, and a resumed run draws others. We found
#   no documentation of it. Version 3.10 has no distillation.
# Seen (a student of width 8 to a teacher of width 32, one block each, 400 steps; mean squared error over the teacher's variance, how far the
#   projection moved; after a resume from the student's and the optimizer's states; when the projection joins the optimizer by hand):
#   error 1.32, then 0.910; projection moved 0.0, in the optimizer: False
#   resumed: error 2.07; names with its weights in the state: 0
#   joined: error 1.32, then 0.009; projection moved 0.8, in the optimizer: True
# Why it matters: Through random directions a student of a quarter of the width reaches about that share of the teacher's features, although
#   it could reach all of these. The error that is left measures the draw, and after a break it starts over towards another one, with
#   the old momenta. Add the parameters of criterion.feature_matchers to the optimizer after the first step, and save them.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv venv -q venv
uv pip install -q --python venv/bin/python torch==2.15.0 numpy==1.26.4 setuptools==79.0.1 six==1.17.0 neural-compressor==2.6
export OMP_NUM_THREADS=1
venv/bin/python -W ignore - 2>log <<'PYTHON'
import copy

import torch
from neural_compressor.config import DistillationConfig, IntermediateLayersKnowledgeDistillationLossConfig
from neural_compressor.training import prepare_compression
from torch import nn


class Network(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.stem, self.block, self.head = nn.Linear(16, 64), nn.Linear(64, width), nn.Linear(width, 4)

    def forward(self, images):
        return self.head(torch.relu(self.block(torch.relu(self.stem(images)))))


torch.manual_seed(0)
teacher = Network(32)
with torch.no_grad():
    teacher.block.weight.copy_(torch.randn(32, 6) @ torch.randn(6, 64) / 12)
    teacher.block.bias.zero_()
images = torch.randn(512, 16)
variance = teacher.block(torch.relu(teacher.stem(images))).var(dim=0).mean().item()


def run(steps, state=None, joined=False, seed=1):
    torch.manual_seed(seed)
    settings = {"layer_mappings": [["block", "block"]], "loss_types": ["MSE"], "loss_weights": [1.0], "add_origin_loss": False}
    criterion = IntermediateLayersKnowledgeDistillationLossConfig(**settings)
    manager = prepare_compression(Network(8), DistillationConfig(teacher_model=copy.deepcopy(teacher), criterion=criterion))
    model, callbacks = manager.model.model, manager.callbacks
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    if state:
        model.load_state_dict(state[0])
        optimizer.load_state_dict(state[1])
    values, callbacks_of = [], callbacks.callbacks_list[0]
    callbacks.on_train_begin()
    for step in range(steps):
        callbacks.on_step_begin(step)
        loss = callbacks.on_after_compute_loss(images, model.train()(images), torch.tensor(0.0))
        projection = callbacks_of.criterion.feature_matchers["block"]
        if step == 0:
            start = projection.dense.weight.detach().clone()
            if joined:
                optimizer.add_param_group({"params": list(projection.parameters())})
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        values.append(loss.item() / variance)
    moved = (projection.dense.weight - start).abs().max().item()
    held = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    inside = any(parameter is other for parameter in projection.parameters() for other in held)
    return values, moved, inside, (model.state_dict(), optimizer.state_dict())


values, moved, inside, state = run(400)
print(f"error {values[0]:.2f}, then {values[-1]:.3f}; projection moved {moved:.1f}, in the optimizer: {inside}")
again = run(1, state, seed=2)[0][0]
print(f"resumed: error {again:.2f}; names with its weights in the state: {sum('dense' in name for name in state[0])}")
trained, trained_moved, trained_inside, _ = run(400, joined=True)
print(f"joined: error {trained[0]:.2f}, then {trained[-1]:.3f}; projection moved {trained_moved:.1f}, in the optimizer: {trained_inside}")
assert moved == 0 and not inside and trained_inside and trained_moved > 0.1
assert again > 1.5 * values[-1] and values[-1] > 10 * trained[-1]
assert not any("dense" in name for name in state[0])
PYTHON
