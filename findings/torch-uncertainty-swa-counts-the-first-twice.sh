#!/usr/bin/env bash
# torch-uncertainty==0.13.0 (lightning 2.6.6)
# Guess: SWA(model, cycle_start, cycle_length) is the mean of the models that it collects, as in the paper that it names, and as
#   torch.optim.swa_utils.AveragedModel has it.
# Behaviour: The count is set to 1 with the first model and then raised to 2, so that the second one gets a weight of 1/3, the third
#   1/4: the first model counts twice. SWAG, which begins with zeros, counts right, if one cycle later. Nothing shows it; no
#   documentation or issue on it was found.
# Seen (a weight that is 1, 2, 3 ... at the end of each epoch; the average after 2, 3, 5 and 10 epochs):
#   mean:               1.500 2.000 3.000 5.500
#   AveragedModel:      1.500 2.000 3.000 5.500
#   torch-uncertainty:  1.333 1.750 2.667 5.091
# Why it matters: The oldest and worst student has the most weight: two thirds of the average of two. Start a cycle later than meant,
#   or use AveragedModel.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv venv -q venv
uv pip install -q --python venv/bin/python torch==2.15.0 torchvision==0.29.2 numpy==2.4.6 lightning==2.6.6 "torch-uncertainty[cpu]==0.13.0"
export OMP_NUM_THREADS=1 MPLBACKEND=Agg
venv/bin/python -W ignore - 2>log <<'PYTHON'
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel
from torch_uncertainty.methods import SWA

model = nn.Linear(1, 1, bias=False)
other = AveragedModel(model)
wrapper = SWA(model, cycle_start=0, cycle_length=1)
rows = {"mean": [], "AveragedModel": [], "torch-uncertainty": []}
for epoch in range(10):
    nn.init.constant_(model.weight, epoch + 1)
    wrapper.update_wrapper(epoch)
    other.update_parameters(model)
    if epoch + 1 in (2, 3, 5, 10):
        rows["mean"].append((epoch + 2) / 2)
        rows["AveragedModel"].append(other.module.weight.item())
        rows["torch-uncertainty"].append(wrapper.eval()(torch.ones(1, 1)).item())
for title, row in rows.items():
    print(f"{title + ':':19} {' '.join(f'{value:.3f}' for value in row)}")
assert all(abs(one - two) < 1e-5 for one, two in zip(rows["mean"], rows["AveragedModel"]))
twice = [(epochs * (epochs + 1) / 2 + 1) / (epochs + 1) for epochs in (2, 3, 5, 10)]
assert all(abs(one - two) < 1e-5 for one, two in zip(twice, rows["torch-uncertainty"]))
PYTHON
