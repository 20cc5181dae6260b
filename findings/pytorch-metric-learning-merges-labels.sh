#!/usr/bin/env bash
# pytorch-metric-learning==2.9.0 (faiss-cpu 1.15.1)
# Guess: AccuracyCalculator counts a neighbour as right if its label equals the query's, whatever integers the labels are.
# Behaviour: Labels become float32. From 2^24 on neighbouring integers are one label; at 700 million 64 of them are, at 10^11 about
#   8,000. No warning.
# Seen (random embeddings of 100 products with two pictures each; precision at 1, R-precision, MAP at R):
#   labels from               0: 0.005, 0.005, 0.005
#   labels from      20,000,000: 0.025, 0.017, 0.009
#   labels from     700,000,000: 0.505, 0.511, 0.292
#   labels from 111,085,122,871: 1.000, 1.000, 1.000
# Why it matters: Sets for retrieval come with the ids of shops and persons, often of nine digits or more. With such labels a
#   random student retrieves half of the items or all of them, and comes near its teacher. Number the labels from 0.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv venv -q venv
uv pip install -q --python venv/bin/python torch==2.15.0 numpy==2.4.6 pytorch-metric-learning==2.9.0 faiss-cpu==1.15.1
export OMP_NUM_THREADS=1
venv/bin/python -W ignore - <<'PYTHON'
import torch
from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator

METRICS = "precision_at_1", "r_precision", "mean_average_precision_at_r"
calculator = AccuracyCalculator(METRICS, k="max_bin_count", device=torch.device("cpu"))
torch.manual_seed(0)
embeddings = torch.randn(200, 64)
products = torch.arange(100).repeat_interleave(2)
nearest = torch.cdist(embeddings, embeddings).fill_diagonal_(torch.inf).argmin(dim=1)
true = (products[nearest] == products).float().mean().item()
seen = {}
for first in (0, 20_000_000, 700_000_000, 111_085_122_871):
    scores = calculator.get_accuracy(embeddings, first + products)
    seen[first] = [scores[name] for name in METRICS]
    print(f"labels from {first:15,}: {', '.join(f'{value:.3f}' for value in seen[first])}")
assert abs(seen[0][0] - true) < 1e-6 < 0.05
assert seen[20_000_000][0] > seen[0][0]
assert seen[111_085_122_871] == [1, 1, 1]
PYTHON
