#!/usr/bin/env bash
# torchmetrics==1.9.0 (torch 2.15.0)
# Guess: A retrieval metric depends on the order of the scores alone, so cosines, logits and their shifts give one
#   value.
# Behaviour: RetrievalRecall, RetrievalPrecision, RetrievalMRR and RetrievalMAP count a relevant document whose
#   score is <= 0 as not relevant, without a word. RetrievalHitRate, RetrievalRPrecision and RetrievalNormalizedDCG
#   do not. One and the same ranking scores 0 where all scores are negative. It is meant so (torchmetrics PR 3104:
#   no score, no prediction).
# Seen:
#   by hand: hit@1 0.382, mean reciprocal rank 0.515
#     cosine: the right text scores 0.03 to 0.62
#     SigLIP logit: the right text scores -9.68 to -3.78
#   RetrievalHitRate         of the cosine 0.382, of the logit 0.382
#   RetrievalRPrecision      of the cosine 0.382, of the logit 0.382
#   RetrievalNormalizedDCG   of the cosine 0.617, of the logit 0.617
#   RetrievalRecall          of the cosine 0.382, of the logit 0.000
#   RetrievalPrecision       of the cosine 0.382, of the logit 0.000
#   RetrievalMRR             of the cosine 0.515, of the logit 0.000
#   RetrievalMAP             of the cosine 0.515, of the logit 0.000
# Why it matters: Cosines of an early student, across the gap between image and text embeddings, or SigLIP's logits
#   (bias -10 at the start) are negative where the answer is right: recall falls though no rank changed, and a
#   teacher and a student whose scores lie at other levels cannot be compared. Add a constant first, or rank by
#   hand.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv venv -q venv
uv pip install -q --python venv/bin/python torch==2.15.0 torchmetrics==1.9.0 numpy==2.4.6
export OMP_NUM_THREADS=1
venv/bin/python -W ignore - <<'PYTHON'
import torch
import torchmetrics.retrieval as retrieval
from torch.nn.functional import normalize

generator = torch.Generator().manual_seed(0)
texts = normalize(torch.randn(500, 64, generator=generator), dim=1)
noise = torch.randn(500, 64, generator=generator)
cosine = normalize(texts + 0.35 * noise, dim=1) @ texts.T
scores = {"cosine": cosine, "SigLIP logit": 10 * cosine - 10}  # its scale and bias at the start of training

number = torch.arange(500)
relevant, queries = (number[:, None] == number).long().flatten(), number.repeat_interleave(500)
rank = (cosine > cosine.diagonal()[:, None]).sum(dim=1) + 1
print(f"by hand: hit@1 {(rank == 1).double().mean():.3f}, mean reciprocal rank {(1 / rank).mean():.3f}")
for name, table in scores.items():
    print(f"  {name}: the right text scores {table.diagonal().min():.2f} to {table.diagonal().max():.2f}")

DEPTH = {"RetrievalHitRate": 1, "RetrievalRPrecision": None, "RetrievalNormalizedDCG": None,
         "RetrievalRecall": 1, "RetrievalPrecision": 1, "RetrievalMRR": None, "RetrievalMAP": None}
seen = {}
for name, depth in DEPTH.items():
    options = {} if depth is None else {"top_k": depth}
    values = [getattr(retrieval, name)(**options)(table.flatten(), relevant, indexes=queries).item() for table in scores.values()]
    print(f"{name:24s} of the cosine {values[0]:.3f}, of the logit {values[1]:.3f}")
    seen[name] = values

assert abs(seen["RetrievalMRR"][0] - (1 / rank).mean().item()) < 1e-3
for name in ("RetrievalHitRate", "RetrievalRPrecision", "RetrievalNormalizedDCG"):
    assert abs(seen[name][0] - seen[name][1]) < 1e-5, name
for name in ("RetrievalRecall", "RetrievalPrecision", "RetrievalMRR", "RetrievalMAP"):
    assert seen[name][0] > 0.3 and seen[name][1] == 0, name
PYTHON
