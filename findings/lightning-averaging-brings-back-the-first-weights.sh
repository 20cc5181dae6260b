#!/usr/bin/env bash
# pytorch-lightning==2.6.6
# Guess: EMAWeightAveraging(update_starting_at_step=n) leaves the model alone until step n: it is validated, saved and returned as it
#   was trained.
# Behaviour: The average exists from the start, as a copy of the untrained model, and stands in from the start: until step n
#   each validation and each checkpoint's state_dict is of the untrained weights, and if training ends before, fit() puts them into the
#   model. What was trained is gone. No warning.
# Seen (a classifier of four classes, 8 steps an epoch; top-1 of each validation, and of the model after fit):
#   without averaging:      96% 100% 100% 100% 100% 100%; after fit 100%
#   averaging from step 24: 10% 10% 10% 100% 100% 100%; after fit 100%
#   averaging from step 60: 10% 10% 10% 10% 10% 10%; after fit 10%, its first weights: True
# Why it matters: Averages of the end of training are usual, and a shorter trial, early stopping or a limit of time then returns the
#   student as it was before distillation. With a pretrained student that looks like a result. Early stopping and the best
#   checkpoint judge the untrained one until then. Start the average at step 0, or add the callback to the last stage alone.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv venv -q venv
uv pip install -q --python venv/bin/python torch==2.15.0 numpy==2.4.6 pytorch-lightning==2.6.6
export OMP_NUM_THREADS=1
venv/bin/python -W ignore - 2> log <<'PYTHON'
import pytorch_lightning as lightning
import torch
from pytorch_lightning.callbacks import EMAWeightAveraging
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(0)
labels = torch.arange(256) % 4
features = torch.randn(256, 8)
features[torch.arange(256), labels] += 4
loader = DataLoader(TensorDataset(features, labels), batch_size=32)


class Student(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer, self.validated = nn.Linear(8, 4), []

    def training_step(self, batch, index):
        return nn.functional.cross_entropy(self.layer(batch[0]), batch[1])

    def validation_step(self, batch, index):
        if index == 0:
            self.validated.append(self.top1())

    def top1(self):
        with torch.no_grad():
            return (self.layer(features).argmax(dim=1) == labels).float().mean().item()

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=0.05)


QUIET = dict.fromkeys(("logger", "enable_progress_bar", "enable_model_summary", "enable_checkpointing"), False)
for title, callbacks in (
    ("without averaging:", []),
    ("averaging from step 24:", [EMAWeightAveraging(decay=0.5, update_starting_at_step=24)]),
    ("averaging from step 60:", [EMAWeightAveraging(decay=0.5, update_starting_at_step=60)]),
):
    torch.manual_seed(2)
    student = Student()
    first = student.layer.weight.clone()
    lightning.Trainer(max_epochs=6, accelerator="cpu", num_sanity_val_steps=0, callbacks=callbacks, **QUIET).fit(student, loader, loader)
    line = f"{title:23} {' '.join(f'{value:.0%}' for value in student.validated)}; after fit {student.top1():.0%}"
    lost = torch.equal(first, student.layer.weight)
    print(line + (f", its first weights: {lost}" if lost else ""))
    untrained = [value < 0.5 for value in student.validated]
    if "60" in title:
        assert lost and all(untrained)
    else:
        assert not lost and student.top1() > 0.9 and untrained == [bool(callbacks) and epoch < 3 for epoch in range(6)]
PYTHON
