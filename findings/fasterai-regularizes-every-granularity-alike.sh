#!/usr/bin/env bash
# fasterai==0.4.1 (fastai 2.8.12, torch 2.15.0)
# Guess: RegularizeCallback(criteria, granularity) pushes whole kernels or filters to zero where the granularity says so, as the group
#   regularization that its documentation announces, and the criterion says which ones.
# Behaviour: It sums absolute scores within each group, and then over the groups. That is one sum over all weights, whatever the groups
#   are, and no group has a norm in it. The absolute value also takes away the minus sign that sets "small_final" apart from
#   "large_final". So each granularity and either criterion train the same student; a list of two granularities is twice the weight. The
#   documentation speaks of an L1 penalty on any granularity; neither it nor an issue that was found says that granularities are alike.
# Seen (a small network after three epochs; largest difference of its weights from those with granularity "weight"):
#   no penalty:           0.0631
#   kernel:               0.0000
#   channel:              0.0000
#   filter:               0.0000
#   layer:                0.0000
#   filter, small_final:  0.0000
#   weight and filter:    0.0616
#   twice the weight:     0.0616
# Why it matters: An ablation of granularities compares equal students, to the bit, and none of them gets the empty filters that structured
#   pruning then looks for. Write the sum of the groups' norms oneself.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv venv -q venv
uv pip install -q --python venv/bin/python torch==2.15.0 torchvision==0.29.2 numpy==2.4.6 fastai==2.8.12 fasterai==0.4.1
export OMP_NUM_THREADS=1 MPLBACKEND=Agg
venv/bin/python -W ignore - 2>log <<'PYTHON'
import torch
from fastai.vision.all import SGD, DataLoaders, Learner
from fasterai.core.criteria import large_final, small_final
from fasterai.regularize.regularize_callback import RegularizeCallback
from torch import nn

torch.manual_seed(0)
images = torch.randn(128, 3, 8, 8)
rows = list(zip(images, (images.mean(dim=(1, 2, 3)) > 0).long()))


def train(granularity, criteria=large_final, weight=0.1):
    torch.manual_seed(1)
    model = nn.Sequential(nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Conv2d(16, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(128, 2))
    loaders = DataLoaders.from_dsets(rows, rows, bs=32, shuffle=False, num_workers=0, device="cpu")
    callback = RegularizeCallback(criteria, granularity, weight=weight)
    learner = Learner(loaders, model, loss_func=nn.CrossEntropyLoss(), cbs=[callback], opt_func=SGD, lr=0.05)
    with learner.no_bar(), learner.no_logging():
        learner.fit(3)
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


reference = train("weight")
seen = {"no penalty": train("weight", weight=0)}
for granularity in ("kernel", "channel", "filter", "layer"):
    seen[granularity] = train(granularity)
seen["filter, small_final"] = train("filter", small_final)
seen["weight and filter"] = train(["weight", "filter"])
seen["twice the weight"] = train("weight", weight=0.2)
for title, weights in seen.items():
    print(f"{title + ':':21} {(weights - reference).abs().max():.4f}")
for title in ("kernel", "channel", "filter", "layer", "filter, small_final"):
    assert torch.equal(seen[title], reference)
assert (seen["no penalty"] - reference).abs().max() > 0.03
assert (seen["weight and filter"] - seen["twice the weight"]).abs().max() < 1e-5
PYTHON
