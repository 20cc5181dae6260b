#!/usr/bin/env bash
# torchmetrics==1.9.0 (scikit-learn 1.9.1)
# Guess: MulticlassAccuracy(100), macro by default, is the mean of the accuracies of the classes that the test set
#   has; classes without a sample do not count.
# Behaviour: A class without a sample counts as 0 as soon as the model has answered it once. So the denominator
#   depends on the model: two models with equal accuracy in each of the 20 classes of a test set get 0.723 and
#   0.157. balanced_accuracy_score of scikit-learn gives 0.723 for both.
# Seen:
#   errors inside the 20 classes: micro 0.723, by hand, mean over the 20 classes 0.723, balanced_accuracy_score 0.723, MulticlassAccuracy(100) 0.723, MulticlassRecall(100) 0.723
#   errors anywhere in the 100: micro 0.723, by hand, mean over the 20 classes 0.723, balanced_accuracy_score 0.723, MulticlassAccuracy(100) 0.157, MulticlassRecall(100) 0.157
# Why it matters: Tests on a subset of the classes (ImageNet-R, -A, a pocket-size set) are usual; a student whose
#   errors scatter over all classes looks far worse than one whose errors stay inside, at the same accuracy. Ask for
#   micro, or average=None and drop absent classes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv venv -q venv
uv pip install -q --python venv/bin/python torch==2.15.0 torchmetrics==1.9.0 scikit-learn==1.9.1 numpy==2.4.6
export OMP_NUM_THREADS=1
venv/bin/python -W ignore - <<'PYTHON'
import numpy as np
import torch
from sklearn.metrics import balanced_accuracy_score
from torchmetrics.classification import MulticlassAccuracy, MulticlassF1Score, MulticlassRecall

# A test set of 20 of the 100 classes that the models know, as a subset, or ImageNet-R of ImageNet.
draw = np.random.default_rng(0)
labels = np.repeat(np.arange(20), 50)
wrong = draw.random(1000) < 0.3
answers = {
    "errors inside the 20 classes": np.where(wrong, (labels + draw.integers(1, 20, 1000)) % 20, labels),
    "errors anywhere in the 100": np.where(wrong, (labels + draw.integers(1, 100, 1000)) % 100, labels),
}
seen = []
for name, answer in answers.items():
    given, truth = torch.tensor(answer), torch.tensor(labels)
    by_hand = np.mean([(answer[labels == label] == label).mean() for label in range(20)])
    values = {
        "micro": MulticlassAccuracy(100, average="micro")(given, truth).item(),
        "by hand, mean over the 20 classes": by_hand,
        "balanced_accuracy_score": balanced_accuracy_score(labels, answer),
        "MulticlassAccuracy(100)": MulticlassAccuracy(100)(given, truth).item(),
        "MulticlassRecall(100)": MulticlassRecall(100)(given, truth).item(),
    }
    print(f"{name}: " + ", ".join(f"{title} {value:.3f}" for title, value in values.items()))
    seen.append(values)

for values in seen:
    assert abs(values["micro"] - 0.7) < 0.03 and abs(values["balanced_accuracy_score"] - values["by hand, mean over the 20 classes"]) < 1e-9
assert abs(seen[0]["MulticlassAccuracy(100)"] - seen[0]["micro"]) < 1e-5
assert seen[1]["MulticlassAccuracy(100)"] < 0.2
PYTHON
