#!/usr/bin/env bash
# mosaicml==0.32.1 (torch 2.7.0)
# Guess: EMA(half_life="1ep"), the starting value of its method card, averages the weights once an epoch. How often checkpoints are saved
#   changes neither the weights that are trained nor their average.
# Behaviour: Before each checkpoint the average and the trained weights change places, and change back when the next batch starts. If a
#   checkpoint that is due by batches falls on an epoch's last batch, the update at the epoch's end comes in between: it draws the
#   trained weights towards the average, and the average stays as it was. After fit() the model holds the average if the last batch
#   was saved, else the trained weights. The EMA's documentation names none of it; no issue on it was found.
# Seen (one weight that each step raises by 1, 4 epochs of 4 batches, half-life of an epoch: the trained weight, the average, which of
#   them model has after fit(), and the weights in the checkpoints):
#   no checkpoints: trained 16.0, average 12.5, model has the trained; saved -
#   save_interval 1ep: trained 16.0, average 12.5, model has the average; saved 4.0 6.0 9.0 12.5
#   save_interval 3ba: trained 13.0, average 9.5, model has the average; saved 3.0 4.0 6.0 6.0 6.0 9.5
#   save_interval 4ba: trained 7.5, average 4.0, model has the average; saved 4.0 4.0 4.0 4.0
# Why it matters: Whoever saves every 500 batches of 5,000 distils a student that is pulled back at each epoch's end, and evaluates
#   and ships an average that stands where the first epoch ended. No message tells. Give half_life and save_interval one unit.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv venv -q venv
uv pip install -q --python venv/bin/python mosaicml==0.32.1 torch==2.7.0 torchvision==0.22.0 numpy==2.2.6
export OMP_NUM_THREADS=1
cat > averaged.py <<'PYTHON'
import pathlib

import torch
from composer import Trainer
from composer.algorithms import EMA
from composer.models import ComposerModel
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class Counter(ComposerModel):
    """Its one weight has a gradient of -1: after n steps of SGD at a rate of 1 it is n."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, batch):
        return self.weight

    def loss(self, outputs, batch):
        return -outputs.sum()


def train(interval):
    """Trained weight, average, what the model has after fit(), and the checkpoints' weights in the order of saving."""
    model, average = Counter(), EMA(half_life="1ep")
    folder = pathlib.Path("none" if interval is None else interval)
    saving = {"save_folder": str(folder), "save_interval": interval, "save_latest_filename": None} if interval else {}
    trainer = Trainer(model=model, train_dataloader=DataLoader(TensorDataset(torch.zeros(16, 1)), batch_size=4), max_duration="4ep",
                      optimizers=torch.optim.SGD(model.parameters(), lr=1.0), algorithms=[average], device="cpu",
                      progress_bar=False, **saving)
    trainer.fit()
    held, stored = model.weight.item(), average.ema_model.named_parameters_dict["weight"].item()
    pair = (stored, held) if average.ema_weights_active else (held, stored)
    files = sorted(folder.glob("ep*.pt"), key=lambda file: int(file.name.split("-ba")[1].split("-")[0]))
    saved = [torch.load(file, weights_only=False)["state"]["model"]["weight"].item() for file in files]
    has = "average" if held == pair[1] else "trained"
    title = f"save_interval {interval}" if interval else "no checkpoints"
    print(f"{title}: trained {pair[0]}, average {pair[1]}, model has the {has}; saved {' '.join(map(str, saved)) or '-'}")
    return *pair, has, saved


assert train(None) == (16.0, 12.5, "trained", [])
assert train("1ep") == (16.0, 12.5, "average", [4.0, 6.0, 9.0, 12.5])
assert train("3ba")[:3] == (13.0, 9.5, "average")
assert train("4ba") == (7.5, 4.0, "average", [4.0] * 4)
PYTHON
venv/bin/python -W ignore averaged.py 2>log | grep "trained"
