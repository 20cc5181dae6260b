#!/usr/bin/env bash
# lobotomizer==0.2.0 (torchao 0.18.0)
# Guess: Pipeline([Prune(...), Distill(...)]) prunes a model and has its teacher repair it: what was pruned stays out, as after
#   StructuredPrune, with which its README shows this pipeline.
# Behaviour: Prune makes the zeros permanent and keeps no mask, and Distill trains all weights: each pruned one that has a
#   gradient is back after the optimizer's first step (the channels that stay are those whose ReLU never fires). The summary counts
#   parameters, which zeros never change; only sparsity_report() shows it. No documentation or issue on it was found.
# Seen (a CNN, half of its weights or channels pruned; zeros in % of the weights, channels without a weight of 48):
#   l1_unstructured: pruned  50.0, 0; pruned and distilled for one step   0.0, 0; for 20 epochs   0.0, 0; distilled, then pruned  50.0, 0
#   l1_structured: pruned  50.0, 24; pruned and distilled for one step  29.8, 12; for 20 epochs  29.8, 12; distilled, then pruned  50.0, 24
# Why it matters: The accuracy that is reported for a student of half the weights is that of a dense one, and whoever packs or skips
#   its zeros afterwards finds none. Prune again after each step, or use StructuredPrune, which takes neurons out.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv venv -q venv
uv pip install -q --python venv/bin/python torch==2.15.0 numpy==2.4.6 torchao==0.18.0 lobotomizer==0.2.0
export OMP_NUM_THREADS=1
venv/bin/python -W ignore - <<'PYTHON'
import lobotomizer
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(0)
images = torch.randn(64, 3, 16, 16)
layers = [nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Conv2d(16, 32, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10)]
model = nn.Sequential(*layers)


def zeros(stages, shown):
    """Zeros among the weights in percent, and channels that have none but zeros."""
    data = DataLoader(TensorDataset(images[:shown]), batch_size=32)
    student = lobotomizer.Pipeline(stages).run(model, training_data=data).model
    weights = [layer.weight for layer in student if hasattr(layer, "weight")]
    count, zero = sum(weight.numel() for weight in weights), sum((weight == 0).sum().item() for weight in weights)
    return round(100 * zero / count, 1), sum((weight == 0).all(dim=(1, 2, 3)).sum().item() for weight in weights if weight.ndim == 4)


for method, channels in (("l1_unstructured", 0), ("l1_structured", 24)):
    prune = lobotomizer.Prune(method=method, sparsity=0.5)
    pruned = zeros([prune], 64)
    step = zeros([prune, lobotomizer.Distill(epochs=1)], 32)
    trained = zeros([prune, lobotomizer.Distill(epochs=20)], 64)
    turned = zeros([lobotomizer.Distill(epochs=20), prune], 64)
    titles = ("pruned", "pruned and distilled for one step", "for 20 epochs", "distilled, then pruned")
    seen = [f"{title} {share:5}, {empty}" for title, (share, empty) in zip(titles, (pruned, step, trained, turned))]
    print(f"{method}: {'; '.join(seen)}")
    assert pruned == turned == (50.0, channels)
    assert max(step[0], trained[0]) < (1 if channels == 0 else 40) and max(step[1], trained[1]) <= channels / 2
PYTHON
