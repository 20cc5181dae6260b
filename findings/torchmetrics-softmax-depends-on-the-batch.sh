#!/usr/bin/env bash
# torchmetrics==1.9.0
# Guess: A multiclass metric (calibration error, AUROC, average precision) does not depend on how the samples are cut into
#   batches, and takes scores either as probabilities or as logits.
# Behaviour: Each call of update takes its batch as logits if any of its values lies outside 0 to 1, and applies softmax
#   then; otherwise it takes the batch as it is. Cosines of images and class names are mostly positive, so that some batches are
#   squeezed to about 1/C and others are not, and both meet in one ranking.
# Seen:
#   cosines of 1,000 images and 10 names, 1.7% of the images have a negative one
#   batches of    1: calibration error 0.145, AUROC 0.786, average precision 0.362
#   batches of   10: calibration error 0.166, AUROC 0.735, average precision 0.330
#   batches of  100: calibration error 0.261, AUROC 0.762, average precision 0.239
#   batches of 1000: calibration error 0.274, AUROC 0.804, average precision 0.386
#   all as probabilities, softmax(100 cos): calibration error, AUROC, average precision the same for every size
# Why it matters: The zero-shot scores of a CLIP-like teacher and student are such cosines. Their comparison depends on the batch
#   size, and on one negative value in a batch, more than on the students. Apply softmax with the model's own scale first.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv venv -q venv
uv pip install -q --python venv/bin/python torch==2.15.0 torchmetrics==1.9.0
export OMP_NUM_THREADS=1
venv/bin/python -W ignore - <<'PYTHON'
import torch
from torchmetrics.classification import MulticlassAUROC, MulticlassAveragePrecision, MulticlassCalibrationError

torch.manual_seed(0)
labels = torch.randint(0, 10, (1000,))
cosines = 0.15 + 0.05 * torch.randn(1000, 10)
cosines[torch.arange(1000), labels] += 0.06
negative = (cosines < 0).any(dim=1).float().mean().item()
print(f"cosines of 1,000 images and 10 names, {negative:.1%} of the images have a negative one")


def values(scores, size):
    metrics = MulticlassCalibrationError(10), MulticlassAUROC(10), MulticlassAveragePrecision(10)
    for part, truth in zip(scores.split(size), labels.split(size), strict=True):
        for metric in metrics:
            metric.update(part, truth)
    return torch.stack([metric.compute() for metric in metrics])


raw = torch.stack([values(cosines, size) for size in (1, 10, 100, 1000)])
for size, row in zip((1, 10, 100, 1000), raw.tolist(), strict=True):
    print("batches of {:4d}: calibration error {:.3f}, AUROC {:.3f}, average precision {:.3f}".format(size, *row))
soft = torch.stack([values((100 * cosines).softmax(dim=1), size) for size in (1, 10, 100, 1000)])
assert (soft - soft[0]).abs().max() < 1e-5
print("all as probabilities, softmax(100 cos): calibration error, AUROC, average precision the same for every size")
spread = raw.amax(dim=0) - raw.amin(dim=0)
assert spread[0] > 0.1 and spread[1] > 0.05 and spread[2] > 0.1
PYTHON
