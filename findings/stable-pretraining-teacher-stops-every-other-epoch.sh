#!/usr/bin/env bash
# stable-pretraining==0.1.8 (lightning 2.6.6)
# Guess: TeacherStudentWrapper's momentum follows the documented cosine from base_ema_coefficient at the start of training to
#   final_ema_coefficient at its end, whether Trainer(max_epochs=6) or Trainer(max_steps=48) says where the end is.
# Behaviour: The callback takes the cosine of epoch / trainer.max_epochs. With max_steps alone Lightning's max_epochs is -1, so the
#   cosine turns by half a circle each epoch: the momentum is the first value in even epochs and the last in odd ones, where the
#   teacher stands still. With a max_epochs that is never reached it stays the first. Nothing is logged; no issue on it was found.
# Seen (six epochs of eight steps; the momentum of each epoch, and the steps in which the teacher changed):
#   max_epochs=6:                  0.900 0.907 0.925 0.950 0.975 0.993; 8 8 8 8 8 8
#   max_steps=48:                  0.900 1.000 0.900 1.000 0.900 1.000; 8 0 8 0 8 0
#   max_steps=48, max_epochs=1000: 0.900 0.900 0.900 0.900 0.900 0.900; 8 8 8 8 8 8
# Why it matters: Self-distillation (DINO, BYOL, I-JEPA) is often run for a number of steps. Its teacher then learns in half of the
#   epochs and never settles, and two runs of the same length differ by how the length was written. Give max_epochs, and the true one.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv venv -q venv
uv pip install -q --python venv/bin/python torch==2.15.0 lightning==2.6.6 stable-pretraining==0.1.8
export OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1 WANDB_MODE=disabled
HOME="$folder" venv/bin/python -W ignore - 2>log <<'PYTHON' | grep -E "^max_"
import math

import lightning
import stable_pretraining
import torch
from stable_pretraining.backbone.utils import TeacherStudentWrapper
from stable_pretraining.callbacks import TeacherStudentCallback
from torch import nn

EPOCHS, STEPS = 6, 8


def forward(self, batch, stage):
    return {"loss": (self.backbone.forward_student(batch["image"]) - 1).square().mean()}


class Watch(lightning.Callback):
    def __init__(self):
        self.momentum, self.changed, self.last = [], [0] * EPOCHS, None

    def on_train_batch_start(self, trainer, module, batch, index):
        self.last = module.backbone.teacher.weight.clone()

    def on_train_batch_end(self, trainer, module, outputs, batch, index):
        self.changed[trainer.current_epoch] += not torch.equal(self.last, module.backbone.teacher.weight)

    def on_train_epoch_end(self, trainer, module):
        self.momentum.append(module.backbone.ema_coefficient.item())


def train(**length):
    lightning.seed_everything(0)
    wrapper = TeacherStudentWrapper(nn.Linear(4, 4), base_ema_coefficient=0.9, final_ema_coefficient=1.0)
    optimizer = {"optimizer": {"type": "SGD", "lr": 0.01}, "scheduler": {"type": "ConstantLR", "factor": 1.0}}
    module = stable_pretraining.Module(backbone=wrapper, forward=forward, optim=optimizer)
    loader = torch.utils.data.DataLoader([{"image": image} for image in torch.randn(8 * STEPS, 4)], batch_size=8)
    watch, quiet = Watch(), {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
    lightning.Trainer(accelerator="cpu", callbacks=[TeacherStudentCallback(), watch], **quiet, **length).fit(module, loader)
    title = ", ".join(f"{name}={value}" for name, value in length.items()) + ":"
    print(f"{title:30} {' '.join(f'{value:.3f}' for value in watch.momentum)}; {' '.join(map(str, watch.changed))}")
    return watch


cosine = [1 - 0.05 * (1 + math.cos(math.pi * epoch / EPOCHS)) for epoch in range(EPOCHS)]
epochs = train(max_epochs=EPOCHS)
assert all(abs(seen - right) < 1e-6 for seen, right in zip(epochs.momentum, cosine)) and epochs.changed == [STEPS] * EPOCHS
steps = train(max_steps=EPOCHS * STEPS)
assert all(abs(value - 0.9 - 0.1 * (epoch % 2)) < 1e-6 for epoch, value in enumerate(steps.momentum))
assert steps.changed == [STEPS, 0] * 3
never = train(max_steps=EPOCHS * STEPS, max_epochs=1000)
assert all(abs(value - 0.9) < 1e-5 for value in never.momentum)
PYTHON
