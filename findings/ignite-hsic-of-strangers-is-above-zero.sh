#!/usr/bin/env bash
# pytorch-ignite==0.5.5 (torch 2.15.0)
# Guess: HSIC is the unbiased estimate that its documentation writes out: averaged over enough batches it is about 0 for features that have
#   nothing to do with each other, whatever the size of the batches.
# Behaviour: Each batch's value is set to 0 where it is below, before they are averaged. The estimate is unbiased because half of those of
#   unrelated features are below 0; what is left grows as batches get smaller. The documentation does not mention it; no issue on it was found.
# Seen (8,192 images, 128 features, times 1,000,000: HSIC, and its formula averaged over the same batches, by how much student and
#   teacher correlate):
#   batch of:                  8             16             32            128
#   correlation 0.0   61.5,   -7.5   27.4,   -3.0   12.0,   -2.5    2.8,   -0.8
#   correlation 0.2   76.6,   21.0   43.8,   26.1   30.6,   26.4   28.0,   28.0
#   correlation 0.5  186.0,  174.3  178.4,  178.3  178.7,  178.7  178.8,  178.8
# Why it matters: A student's features seem to depend on the teacher's, or its classes, when they do not, and more so with smaller batches:
#   two models that were measured with other batches cannot be compared. Use one batch of all, or batches of hundreds.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv venv -q venv
uv pip install -q --python venv/bin/python torch==2.15.0 numpy==2.4.6 pytorch-ignite==0.5.5
export OMP_NUM_THREADS=1
venv/bin/python -W ignore - 2>log <<'PYTHON'
import torch
from ignite.engine import Engine
from ignite.metrics import HSIC

SIZES = (8, 16, 32, 128)
torch.manual_seed(0)
teacher, other = torch.randn(8192, 128), torch.randn(8192, 128)


def formula(one, two):
    """The estimate of one batch as the documentation of HSIC has it, with the same widths."""
    size = len(one)
    grams = []
    for features in (one.double(), two.double()):
        distances = torch.cdist(features, features) ** 2
        grams.append(torch.exp(-0.5 * distances / distances.quantile(0.5)).fill_diagonal_(0))
    product = grams[0] @ grams[1]
    sums = grams[0].sum() * grams[1].sum() / ((size - 1) * (size - 2))
    return (product.trace() + sums - 2 * product.sum() / (size - 2)).item() / (size * (size - 3))


def library(batches):
    engine = Engine(lambda engine, batch: batch)
    HSIC().attach(engine, "hsic")
    return engine.run(batches).metrics["hsic"]


print("batch of:    " + "".join(f"{size:>15}" for size in SIZES))
rows = {}
for correlation in (0.0, 0.2, 0.5):
    student = correlation * teacher + (1 - correlation**2) ** 0.5 * other
    row = []
    for size in SIZES:
        batches = list(zip(teacher.split(size), student.split(size), strict=True))
        values = [formula(*batch) for batch in batches]
        clipped = sum(max(value, 0) for value in values) / len(values)
        found = library(batches)
        assert abs(found - clipped) < 0.03 * clipped + 1e-7
        row.append((1e6 * found, 1e6 * sum(values) / len(values)))
    print(f"correlation {correlation:.1f} " + " ".join(f"{one:6.1f}, {two:6.1f}" for one, two in row))
    rows[correlation] = row
assert all(one > 4 * abs(two) for one, two in rows[0.0][1:3]) and rows[0.0][1][0] > 0.9 * rows[0.2][3][0]
assert rows[0.0][0][0] > 10 * rows[0.0][3][0] and abs(rows[0.5][3][0] / rows[0.5][3][1] - 1) < 0.02
PYTHON
