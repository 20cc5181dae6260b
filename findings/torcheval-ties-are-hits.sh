#!/usr/bin/env bash
# torcheval==0.0.7
# Guess: Top-5 accuracy of a classifier that gives every class the same score is about 5 / classes, and so is that of one whose
#   scores are NaN; where scores tie, five classes are chosen.
# Behaviour: For k above 1 a sample counts as right if fewer than k classes score more than its label. Ties all count as right,
#   and nothing is more than NaN. HitRate and ReciprocalRank do the same; k = 1 takes the argmax.
# Seen (2,000 labels of 1,000 classes; top-1, top-5, reciprocal rank; torch.topk's top-5 beside them):
#   all scores equal:               0.001, 1.000, 1.000; topk 0.004
#   all scores NaN:                 0.001, 1.000, 1.000; topk 0.004
#   noise behind a ReLU:            0.001, 0.250, 0.160; topk 0.003
#   noise as float16 probabilities: 0.001, 0.228, 0.138; topk 0.004
# Why it matters: A student that collapsed or diverged has a perfect top-5, and its curve of top-5 rises as it breaks. Students whose
#   scores are pruned, rounded or confident in half precision gain over their teacher for nothing. Take topk's indices.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv venv -q venv
uv pip install -q --python venv/bin/python torch==2.15.0 numpy==2.4.6 torcheval==0.0.7
export OMP_NUM_THREADS=1
venv/bin/python -W ignore - <<'PYTHON'
import torch
from torcheval.metrics import HitRate, MulticlassAccuracy, ReciprocalRank

torch.manual_seed(0)
labels = torch.randint(0, 1000, (2000,))
noise = torch.randn(2000, 1000)
scores = {
    "all scores equal": torch.zeros(2000, 1000),
    "all scores NaN": torch.full((2000, 1000), torch.nan),
    "noise behind a ReLU": (noise - 2.5).relu(),
    "noise as float16 probabilities": (20 * noise).softmax(dim=1).half(),
}


def value(metric, given):
    return metric.update(given, labels).compute().float().mean().item()


for name, given in scores.items():
    first, five = value(MulticlassAccuracy(), given), value(MulticlassAccuracy(k=5), given)
    hits, rank = value(HitRate(k=5), given), value(ReciprocalRank(), given)
    chosen = (given.topk(5).indices == labels[:, None]).any(dim=1).float().mean().item()
    print(f"{name + ':':31} {first:.3f}, {five:.3f}, {rank:.3f}; topk {chosen:.3f}")
    assert first < 0.005 and chosen < 0.01, "chance"
    assert hits == five > 0.2 and rank > 0.1
    assert five == 1 or "noise" in name
PYTHON
