#!/usr/bin/env bash
# pytorch-ignite==0.5.5
# Guess: EMAHandler.ema_model is a model of its own, that changes only when the handler updates it; handle_buffers="copy" copies
#   the buffers then.
# Behaviour: The first update makes the average's buffers the model's own tensors (ema_b.data = model_b.data). From then on
#   the average has the running statistics of whatever the model is trained on, at once and without the handler.
# Seen (a classifier trained with an average; the average becomes the teacher while the model learns brighter images):
#   the same tensor: True; teacher's top-1 before 100%, after 71%
#   with handle_buffers="update": the same tensor: False; before 100%, after 100%
#   with copy.deepcopy(handler.ema_model): before 100%, after 100%
# Why it matters: An average that is kept as the teacher of the next stage (born-again students, learning without forgetting, mean
#   teachers) drifts with its student's images, and one that is updated once an epoch has weights of one time and statistics of another.
#   Take a deep copy of it, or handle_buffers="update".
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv venv -q venv
uv pip install -q --python venv/bin/python torch==2.15.0 numpy==2.4.6 pytorch-ignite==0.5.5
export OMP_NUM_THREADS=1
venv/bin/python -W ignore - <<'PYTHON'
import copy

import torch
from ignite.engine import Engine
from ignite.handlers import EMAHandler
from torch import nn

torch.manual_seed(0)
labels = torch.arange(512) % 4
colours = torch.tensor([[2, 1, 1], [1, 2, 1], [1, 1, 2], [1.3, 1.3, 1.3]])
images = torch.rand(512, 3, 8, 8) * colours[labels][:, :, None, None]


def top1(model):
    with torch.no_grad():
        return (model(images).argmax(dim=1) == labels).float().mean().item()


def run(model, shown, handler=None):
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)

    def step(engine, batch):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model.train()(batch), labels).backward()
        optimizer.step()

    trainer = Engine(step)
    if handler:
        handler.attach(trainer)
    trainer.run([shown] * 100)


def stages(keep, **options):
    layers = nn.Conv2d(3, 32, 3), nn.BatchNorm2d(32), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 4)
    model = nn.Sequential(*layers)
    handler = EMAHandler(model, momentum=0.1, **options)
    run(model, images, handler)
    teacher = keep(handler.ema_model)
    before = top1(teacher)
    run(model, images + 2)
    shared = teacher[1].running_mean.data_ptr() == model[1].running_mean.data_ptr()
    return shared, before, top1(teacher)


shared, before, after = stages(lambda average: average)
print(f"the same tensor: {shared}; teacher's top-1 before {before:.0%}, after {after:.0%}")
assert shared and before > 0.95 and after < 0.85
shared, before, after = stages(lambda average: average, handle_buffers="update")
print(f'with handle_buffers="update": the same tensor: {shared}; before {before:.0%}, after {after:.0%}')
assert not shared and before == after > 0.95
_, before, after = stages(copy.deepcopy)
print(f"with copy.deepcopy(handler.ema_model): before {before:.0%}, after {after:.0%}")
assert before == after > 0.95
PYTHON
