#!/usr/bin/env bash
# torch-uncertainty==0.13.0 (lightning 2.6.6)
# Guess: EMA(model, momentum) is evaluated as the average of the trained model, batch norms included.
# Behaviour: update_wrapper averages the parameters alone. The average's batch norms keep the statistics of the model that EMA was
#   given, mean 0 and variance 1 for a new one, and the routines, which call bn_update for SWA and SWAG, have none for EMA. Nothing is
#   logged or raised; no documentation or issue on it was found.
# Seen (images of ten classes, a CNN; accuracy on held-out images):
#   trained model                                              100.0 %
#   EMA, momentum 0.9                                           37.3 %
#   the same average, with statistics that are averaged, too   100.0 %
# Why it matters: wrapper.eval() measures, and saves, a student whose batch norms were never trained: it looks as if averaging harmed.
#   Call torch.optim.swa_utils.update_bn(loader, wrapper.ema_model), or use AveragedModel(use_buffers=True).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv venv -q venv
uv pip install -q --python venv/bin/python torch==2.15.0 torchvision==0.29.2 numpy==2.4.6 lightning==2.6.6 "torch-uncertainty[cpu]==0.13.0"
export OMP_NUM_THREADS=1 MPLBACKEND=Agg
venv/bin/python -W ignore - 2>log <<'PYTHON'
import copy

import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch_uncertainty.methods import EMA

torch.manual_seed(0)
patterns = torch.randn(10, 3, 8, 8)
labels = torch.arange(2000) % 10
images = 5 + patterns[labels] + torch.randn(2000, 3, 8, 8)
train, held_out = slice(1600), slice(1600, None)

layers = [nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 32, 3), nn.BatchNorm2d(32), nn.ReLU()]
layers += [nn.Conv2d(32, 32, 3), nn.BatchNorm2d(32), nn.ReLU(), nn.Flatten(), nn.Linear(128, 10)]
wrapper = EMA(nn.Sequential(*layers), momentum=0.9)
averaged = copy.deepcopy(wrapper.core_model)
optimizer = torch.optim.SGD(wrapper.core_model.parameters(), lr=0.01)
wrapper.train()
for _ in range(5):
    for batch in range(0, 1600, 32):
        optimizer.zero_grad()
        cross_entropy(wrapper(images[batch : batch + 32]), labels[batch : batch + 32]).backward()
        optimizer.step()
        wrapper.update_wrapper()
        with torch.no_grad():
            for average, value in zip(averaged.state_dict().values(), wrapper.core_model.state_dict().values()):
                average.copy_(0.9 * average + 0.1 * value)


@torch.no_grad()
def accuracy(title, model):
    right = 100 * (model.eval()(images[held_out]).argmax(dim=1) == labels[held_out]).float().mean().item()
    print(f"{title:58} {right:5.1f} %")
    return right


trained = accuracy("trained model", wrapper.core_model)
kept = accuracy("EMA, momentum 0.9", wrapper)
whole = accuracy("the same average, with statistics that are averaged, too", averaged)
statistics = dict(wrapper.ema_model.named_buffers())
assert not any(statistics[f"{layer}.running_mean"].any() for layer in (1, 4, 7))
assert all(torch.equal(statistics[f"{layer}.running_var"], torch.ones_like(statistics[f"{layer}.running_var"])) for layer in (1, 4, 7))
assert all(torch.allclose(one, two, atol=1e-5) for one, two in zip(wrapper.ema_model.parameters(), averaged.parameters()))
assert min(trained, whole) > 90 and kept < trained - 30
PYTHON
