#!/usr/bin/env bash
# fasterai==0.4.1 (fastai 2.8.12)
# Guess: KnowledgeDistillationCallback with activations_student=[a, b] and activations_teacher=[c, d] compares a with c and b with d.
# Behaviour: Outputs are kept by layer name in the order in which each model runs its layers, and zipped: the order of
#   the lists has no effect, and a layer that is named twice, as when two layers of a student learn from one of the
#   teacher, is one entry, so that the last pair is dropped without a word.
# Seen (FitNet, teacher with the same input and other weights; mean squared differences by hand beside):
#   (first, second) with (first, second): 0.980; by hand 0.980
#   (first, second) with (second, first): 0.980; by hand 1.255
#   (first, second) with (second, second): 0.564; by hand 0.894
# Why it matters: A deep-to-shallow or many-to-one table of layers trains another one, and an ablation
#   of pairings compares a thing with itself. List layers in the order of execution, each once.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv venv -q venv
uv pip install -q --python venv/bin/python torch==2.15.0 torchvision==0.29.2 fastai==2.8.12 fasterai==0.4.1
export OMP_NUM_THREADS=1 HOME="$folder"
venv/bin/python -W ignore - <<'PYTHON'
from collections import OrderedDict

import torch
from fastai.basics import DataLoader, DataLoaders, Learner
from fasterai.distill.distillation_callback import KnowledgeDistillationCallback
from fasterai.distill.losses import FitNet
from torch import nn
from torch.nn.functional import mse_loss


def model():
    return nn.Sequential(OrderedDict(first=nn.Linear(8, 8), second=nn.Linear(8, 8)))


torch.manual_seed(0)
student, teacher = model(), model().eval()
images, labels = torch.randn(64, 8), torch.randint(0, 8, (64,))
layers = {name: {"first": net.first(images).detach(), "second": net(images).detach()} for name, net in (("student", student), ("teacher", teacher))}
batches = DataLoader(list(zip(images, labels, strict=True)), bs=64)


def by_fasterai(to):
    """The loss of one batch, which is the distillation's alone at weight 1; the student is not changed (rate 0)."""
    callback = KnowledgeDistillationCallback(teacher, FitNet, ["first", "second"], to, weight=1.0)
    learner = Learner(DataLoaders(batches, batches), student, loss_func=nn.CrossEntropyLoss(), cbs=callback, train_bn=False)
    with learner.no_bar(), learner.no_logging():
        learner.fit(1, lr=0.0, wd=0.0)
    return learner.recorder.losses[0].item()


seen = {}
for to in (["first", "second"], ["second", "first"], ["second", "second"]):
    pairs = [mse_loss(layers["student"][mine], layers["teacher"][theirs]).item() for mine, theirs in zip(("first", "second"), to, strict=True)]
    seen[tuple(to)] = by_fasterai(to), sum(pairs), pairs[0]
    print(f"(first, second) with ({', '.join(to)}): {seen[tuple(to)][0]:.3f}; by hand {sum(pairs):.3f}")
straight, crossed, both = seen.values()
assert abs(straight[0] - straight[1]) < 1e-4
assert abs(crossed[0] - straight[0]) < 1e-4 and abs(crossed[0] - crossed[1]) > 0.01
assert abs(both[0] - both[2]) < 1e-4 and abs(both[0] - both[1]) > 0.01
PYTHON
