#!/usr/bin/env bash
# torchmetrics==1.9.0 (torch 2.15.0)
# Guess: A MetricCollection of top-1 and top-5 accuracy gives the values that the two metrics give on their own.
# Behaviour: Metrics whose counts are equal after the first update share one state from then on, whatever their arguments are. If the first
#   batch has no hit among the first five, or all of its hits are first, top-5 accuracy is top-1 accuracy until the object is thrown away;
#   reset() does not part them. compute_groups=False does. The documentation says that groups are found by itself, and that they save time;
#   issue 2916 of the repository, on BLEU scores, was closed.
# Seen (100 classes, 50 batches of 16; only the first batch differs; top-1 and top-5 accuracy, and the groups):
#   apart:                                  0.478 0.773
#   together, first batch without a hit:    0.478 0.478, [['top1', 'top5']]
#   the same after reset(), other batches:  0.471 0.471, [['top1', 'top5']]
#   together, compute_groups=False:         0.478 0.773
#   together, first batch with some hits:   0.487 0.788, [['top1'], ['top5']]
# Why it matters: Before training, or in the first batch of a folder sorted by class, no or all hits are usual. Top-5 accuracy then stays
#   at top-1 in each later epoch of the run, and two students are compared of which one was lucky in its first batch.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv venv -q venv
uv pip install -q --python venv/bin/python torch==2.15.0 numpy==2.4.6 torchmetrics==1.9.0
export OMP_NUM_THREADS=1
venv/bin/python -W ignore - <<'PYTHON'
import torch
from torchmetrics import MetricCollection
from torchmetrics.classification import MulticlassAccuracy

classes = 100


def batches(first, seed):
    """Scores and labels; in the first batch no label is among the first five unless `first` says so."""
    torch.manual_seed(seed)
    for index in range(50):
        labels = torch.randint(0, classes, (16,))
        right = torch.nn.functional.one_hot(labels, classes)
        yield torch.randn(16, classes) + right * (2.5 if index or first else -9), labels


def metrics():
    return {f"top{k}": MulticlassAccuracy(classes, top_k=k) for k in (1, 5)}


def judge(title, collection, data):
    for scores, labels in data:
        for one in collection if isinstance(collection, list) else [collection]:
            one.update(scores, labels)
    values = [one.compute() for one in collection] if isinstance(collection, list) else collection.compute().values()
    values = [value.item() for value in values]
    groups = list(collection.compute_groups.values()) if isinstance(collection, MetricCollection) else []
    shown = f", {groups}" if groups else ""
    print(f"{title + ':':39} {' '.join(f'{value:.3f}' for value in values)}{shown}")
    return values


apart = judge("apart", list(metrics().values()), batches(False, 0))
collection = MetricCollection(metrics())
together = judge("together, first batch without a hit", collection, batches(False, 0))
collection.reset()
later = judge("the same after reset(), other batches", collection, batches(True, 1))
told = judge("together, compute_groups=False", MetricCollection(metrics(), compute_groups=False), batches(False, 0))
lucky = judge("together, first batch with some hits", MetricCollection(metrics()), batches(True, 0))
assert apart[1] > apart[0] + 0.2 and told == apart
assert together[0] == together[1] == apart[0] and later[0] == later[1]
assert lucky[1] > lucky[0] + 0.2
PYTHON
