#!/usr/bin/env bash
# visionmetrics==0.0.21 (torchmetrics 1.2.1, torch 2.15.0; torchmetrics 1.9.0 gives the same)
# Guess: RetrievalMAP, RetrievalPrecision and RetrievalRecall collect queries over their updates, one row of scores and relevances each, and
#   compute returns the mean of all queries, however they were cut into batches. The README's example updates with a batch.
# Behaviour: Rows are numbered from 0 in each update, and rows with the same number are one query to compute. Row 0 of each batch goes into
#   one list of results, row 1 into another, and so on: with batches of one image all of them are a single query. The scores of different
#   queries are sorted among each other, and "the first 5" are the best 5 of many queries. No warning; no issue on it was found.
# Seen (500 queries of a teacher and of a student among 50 images, 5 of them relevant; the student ranks as the teacher does, but the scores
#   of each query have a level of their own, as those of an image whose embedding has a small norm):
#   precision at 5 by hand: teacher 0.562, student 0.562
#   batches of 500: MAP, precision, recall: teacher 0.672 0.562 0.562; student 0.672 0.562 0.562
#   batches of 100: MAP, precision, recall: teacher 0.662 1.000 0.200; student 0.379 0.772 0.154
#   batches of 10:  MAP, precision, recall: teacher 0.659 1.000 0.020; student 0.322 1.000 0.020
#   batches of 1:   MAP, precision, recall: teacher 0.658 1.000 0.002; student 0.317 1.000 0.002
# Why it matters: Retrieval depends on the batch size of the evaluation: precision is perfect, recall next to nothing, and the student seems
#   to have lost half of the teacher's MAP although every ranking is the same. Update once, with all queries.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv venv -q venv
uv pip install -q --python venv/bin/python torch==2.15.0 numpy==2.4.6 torchmetrics==1.2.1 "setuptools<81"
uv pip install -q --no-deps --python venv/bin/python visionmetrics==0.0.21
export OMP_NUM_THREADS=1
venv/bin/python -W ignore - 2>log <<'PYTHON'
import torch
from visionmetrics.retrieval import RetrievalMAP, RetrievalPrecision, RetrievalRecall

torch.manual_seed(0)
queries, size, relevant = 500, 50, 5
targets = torch.zeros(queries, size, dtype=torch.long)
targets[:, :relevant] = 1
noise = torch.rand(queries, size)
teacher = 0.5 * noise + 0.25 * targets + 0.1
student = teacher * torch.rand(queries, 1)


def measure(scores, batch):
    metrics = RetrievalMAP(), RetrievalPrecision(top_k=relevant), RetrievalRecall(top_k=relevant)
    for first in range(0, queries, batch):
        for metric in metrics:
            metric.update(scores[first : first + batch], targets[first : first + batch])
    return [metric.compute().item() for metric in metrics]


def hits(scores):
    return targets.gather(1, scores.topk(relevant).indices).float().mean().item()


print(f"precision at 5 by hand: teacher {hits(teacher):.3f}, student {hits(student):.3f}")
seen = {}
for batch in (500, 100, 10, 1):
    seen[batch] = measure(teacher, batch), measure(student, batch)
    columns = [f"{name} {' '.join(f'{value:.3f}' for value in values)}" for name, values in zip(("teacher", "student"), seen[batch])]
    print(f"batches of {f'{batch}:':4} MAP, precision, recall: {'; '.join(columns)}")
whole = seen[500]
assert all(abs(ours - theirs) < 1e-5 for ours, theirs in zip(*whole)) and abs(whole[1][1] - hits(student)) < 1e-5
assert seen[10][1][0] < 0.7 * whole[1][0] and seen[1][1][2] < 0.05 < whole[1][2]
PYTHON
