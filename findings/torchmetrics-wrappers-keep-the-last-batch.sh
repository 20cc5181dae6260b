#!/usr/bin/env bash
# torchmetrics==1.9.0 (torch 2.15.0)
# Guess: A BootStrapper or a MinMaxMetric that is called with each batch gives the values of all batches at the end, as the metric inside does.
# Behaviour: The call resets the wrapper to find the batch's own value. That resets the metrics inside too, but only the wrapper's own states
#   are put back, and it has none. What compute() then gives is of the last batch alone. update() keeps all batches, and so do the calls of
#   Running, ClasswiseWrapper and MultitaskWrapper. The documentation says of the BootStrapper that both `update` and `forward` resample.
#   Issues 644 and 1220 of the repository, on other classes with the same fault, are closed.
# Seen (1000 images in batches of 16, the last of 8; two students; accuracy, and the standard deviation that BootStrapper gives):
#                                better student     worse student
#   plain metric, called:        0.844              0.816
#   BootStrapper, updated:       0.842 ± 0.013      0.817 ± 0.012
#   BootStrapper, called:        0.605 ± 0.196      1.000 ± 0.000
#   MinMaxMetric, updated:       0.844              0.816
#   MinMaxMetric, called:        0.625              1.000
# Why it matters: To call a metric is the usual way to log batches and to have the epoch's value too. Here the epoch's value comes from the 8
#   images left over: the worse student wins, without any uncertainty. If all batches are equal in size nothing looks odd but the deviation.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv venv -q venv
uv pip install -q --python venv/bin/python torch==2.15.0 numpy==2.4.6 torchmetrics==1.9.0
export OMP_NUM_THREADS=1
venv/bin/python -W ignore - <<'PYTHON'
import torch
from torchmetrics.classification import MulticlassAccuracy
from torchmetrics.wrappers import BootStrapper, MinMaxMetric

torch.manual_seed(0)
classes = 10
labels = torch.randint(0, classes, (1000,))
tail = labels[-8:]


def answers(share, right_at_the_end):
    """The classes a student gives: `share` of them right, and of the last eight images as many as told."""
    given = torch.where(torch.rand(1000) < share, labels, (labels + 1) % classes)
    given[-8:] = torch.where(torch.arange(8) < right_at_the_end, tail, (tail + 1) % classes)
    return given


students = [answers(0.85, 5), answers(0.80, 8)]


print(f"{'':28} {'better student':18} worse student")


def judge(title, make, called):
    values = []
    for given in students:
        torch.manual_seed(1)
        metric = make()
        for batch in zip(given.split(16), labels.split(16)):
            (metric if called else metric.update)(*batch)
        value = metric.compute()
        if not isinstance(value, dict):
            value = {"raw": value}
        values.append((value.get("raw", value.get("mean")).item(), value["std"].item() if "std" in value else None))
    shown = [f"{value:.3f}" + (f" ± {std:.3f}" if std is not None else "") for value, std in values]
    print(f"{title + ':':28} {shown[0]:18} {shown[1]}")
    return values


def accuracy():
    return MulticlassAccuracy(classes, average="micro")


plain = judge("plain metric, called", accuracy, True)
boot_updated = judge("BootStrapper, updated", lambda: BootStrapper(accuracy(), num_bootstraps=100), False)
boot_called = judge("BootStrapper, called", lambda: BootStrapper(accuracy(), num_bootstraps=100), True)
minmax_updated = judge("MinMaxMetric, updated", lambda: MinMaxMetric(accuracy()), False)
minmax_called = judge("MinMaxMetric, called", lambda: MinMaxMetric(accuracy()), True)

for (value, _), given in zip(plain, students):
    assert abs(value - (given == labels).float().mean().item()) < 1e-6
assert minmax_updated == plain and plain[0][0] > plain[1][0]
assert all(abs(updated[0] - one[0]) < 0.005 and updated[1] < 0.02 for updated, one in zip(boot_updated, plain))
assert [value for value, _ in minmax_called] == [5 / 8, 1.0]
assert abs(boot_called[0][0] - 5 / 8) < 0.06 and boot_called[0][1] > 0.1 and boot_called[1] == (1.0, 0.0)
PYTHON
