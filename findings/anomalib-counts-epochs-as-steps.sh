#!/usr/bin/env bash
# anomalib==2.7.0 (torch 2.15.0, timm 1.0.31)
# Guess: Dinomaly warms its learning rate up over 100 steps and lets it fall until the last one; EfficientAd divides it by 10 for the last 5 %
#   of the steps. Both docstrings say so.
# Behaviour: Both give Lightning a scheduler that counts steps, without interval="step", so it moves once an epoch. Dinomaly's first rate is 0:
#   in the first epoch nothing is learned, and the warm-up takes 100 epochs. EfficientAd's rate never falls, unless an epoch has one step.
#   No documentation or issue on it was found.
# Seen (three epochs, of 60 images for Dinomaly and of 4 for EfficientAd, without pretrained weights, which need a network; the rate of
#   each epoch's first and last step, and what the docstrings say):
#   Dinomaly:       0.00000-0.00000 0.00002-0.00002 0.00004-0.00004
#     documented:   0.00000-0.00119 0.00121-0.00176 0.00174-0.00020
#     its student after one epoch has its first weights, to the bit: True
#   EfficientAd:    0.00010-0.00010 0.00010-0.00010 0.00010-0.00010
#     documented:   0.00010-0.00010 0.00010-0.00010 0.00010-0.00001
# Why it matters: A student of a teacher's features that is trained for some epochs of a large data set has hardly learned, and the first
#   one is for nothing. How far the rate gets depends on the number of images. Return {"scheduler": ..., "interval": "step"} in a subclass.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv venv -q venv
uv pip install -q --python venv/bin/python torch==2.15.0 torchvision==0.29.2 numpy==2.4.6 timm==1.0.31 anomalib==2.7.0
export OMP_NUM_THREADS=1
venv/bin/python -W ignore - 2>log <<'PYTHON'
from pathlib import Path

import numpy as np
import timm
import torch
from anomalib.data import Folder
from anomalib.engine import Engine
from anomalib.models import Dinomaly, EfficientAd
from lightning.pytorch import Callback
from PIL import Image

create = timm.create_model
timm.create_model = lambda *names, **settings: create(*names, **{**settings, "pretrained": False})
random = np.random.default_rng(0)
for name, number in (("many", 60), ("few", 4), ("bad", 4)):
    Path("images", name).mkdir(parents=True)
    for index in range(number):
        Image.fromarray(random.integers(0, 255, (32, 32, 3), dtype=np.uint8)).save(Path("images", name, f"{index}.png"))


class Look(Callback):
    """Notes the learning rate of each step."""

    def __init__(self):
        self.rates = []

    def on_train_batch_start(self, trainer, *others):
        self.rates.append(trainer.optimizers[0].param_groups[0]["lr"])


class WithoutWeights(EfficientAd):
    def prepare_pretrained_model(self):
        pass


def train(model, images, epochs):
    """The learning rates of each epoch's first and last step, those of a scheduler that counts steps, and whether it does."""
    data = Folder("images", images, "images", "bad", images, train_batch_size=1, eval_batch_size=4, num_workers=0)
    look = Look()
    settings = {"accelerator": "cpu", "limit_val_batches": 0, "enable_progress_bar": False, "enable_model_summary": False}
    engine = Engine(max_epochs=epochs, callbacks=[look], **settings)
    engine.fit(model, datamodule=data)
    configuration = engine.trainer.lr_scheduler_configs[0]
    assert configuration.interval == "epoch"
    if isinstance(model, Dinomaly):
        documented = configuration.scheduler.schedule
    else:
        documented = [0.0001 * 0.1 ** (step // int(0.95 * len(look.rates))) for step in range(len(look.rates))]
    steps = len(look.rates) // epochs
    return [[(rates[first], rates[first + steps - 1]) for first in range(0, len(look.rates), steps)] for rates in (look.rates, documented)]


def show(title, rows):
    print(f"{title:15} " + " ".join(f"{first:.5f}-{last:.5f}" for first, last in rows))


def dinomaly():
    torch.manual_seed(0)
    processor = Dinomaly.configure_pre_processor((28, 28), 28)
    return Dinomaly("vit_small_patch14_dinov2", pre_processor=processor, evaluator=False, visualizer=False)


seen, documented = train(dinomaly(), "many", 3)
show("Dinomaly:", seen)
show("  documented:", documented)
assert seen[0] == (0, 0) and seen[2][1] < 0.00005 and documented[0][1] > 0.001 and documented[2][1] < 0.00021
student = dinomaly()
first = [value.detach().clone() for value in student.trainable_modules.parameters()]
train(student, "many", 1)
same = all(torch.equal(*pair) for pair in zip(first, student.trainable_modules.parameters(), strict=True))
print(f"  its student after one epoch has its first weights, to the bit: {same}")
assert same
seen, documented = train(WithoutWeights("images", evaluator=False, visualizer=False), "few", 3)
show("EfficientAd:", seen)
show("  documented:", documented)
assert set(sum(seen, ())) == {0.0001} and documented[2][1] < 0.00002
PYTHON
