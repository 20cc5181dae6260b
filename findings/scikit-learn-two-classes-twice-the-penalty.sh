#!/usr/bin/env bash
# scikit-learn==1.9.1
# Guess: LogisticRegression minimises cross-entropy + ||W||^2 / (2 C) of one vector for each class, so that a linear probe
#   written as a softmax with that penalty gives the same probabilities at the same C, whatever the number of classes.
# Behaviour: So it is for three classes and more. For two it fits one vector w, the difference of the two, and penalises
#   that: the softmax's two vectors are w / 2 and -w / 2, whose penalty is half as large. Its probabilities are those of
#   the softmax at half the C.
# Seen:
#   3 classes, same C: largest difference of a probability below 1e-4
#   2 classes, same C: largest difference of a probability 0.067
#   2 classes, softmax at C / 2: largest difference of a probability below 1e-4
# Why it matters: A probe's C is chosen once and used for tasks of many classes and of two (pets or not, tumour or not). A
#   probe of one's own in PyTorch, or a sweep over C that is shared between tasks, then compares different penalties.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv venv -q venv
uv pip install -q --python venv/bin/python scikit-learn==1.9.1 scipy==1.17.1 numpy==2.4.6
export OMP_NUM_THREADS=1
venv/bin/python -W error - <<'PYTHON'
import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax
from sklearn.linear_model import LogisticRegression


def by_softmax(features, labels, classes, c):
    """Probabilities of a softmax with a vector and a bias for each class, by minimising the guess's objective."""
    count, width = features.shape

    def objective(flat):
        weights = flat.reshape(classes, width + 1)
        logits = features @ weights[:, :-1].T + weights[:, -1]
        loss = -log_softmax(logits, axis=1)[np.arange(count), labels].sum()
        residual = softmax(logits, axis=1)
        residual[np.arange(count), labels] -= 1
        gradient = np.hstack([residual.T @ features + weights[:, :-1] / c, residual.sum(axis=0)[:, None]])
        return loss + (weights[:, :-1] ** 2).sum() / (2 * c), gradient.ravel()

    best = minimize(objective, np.zeros(classes * (width + 1)), jac=True, method="L-BFGS-B",
                    options={"maxiter": 10_000, "ftol": 1e-15, "gtol": 1e-9})
    weights = best.x.reshape(classes, width + 1)
    return softmax(features @ weights[:, :-1].T + weights[:, -1], axis=1)


def difference(classes, c, factor=1):
    draw = np.random.default_rng(0)
    labels = np.arange(90) % classes
    features = draw.normal(size=(90, 8)) + 1.5 * np.eye(8)[labels]
    theirs = LogisticRegression(C=c, tol=1e-10, max_iter=10_000).fit(features, labels).predict_proba(features)
    return np.abs(theirs - by_softmax(features, labels, classes, factor * c)).max()


three, two, twice = difference(3, 0.1), difference(2, 0.1), difference(2, 0.1, factor=0.5)
for text, value in (("3 classes, same C", three), ("2 classes, same C", two), ("2 classes, softmax at C / 2", twice)):
    print(f"  {text}: largest difference of a probability {'below 1e-4' if value < 1e-4 else f'{value:.3f}'}")
assert three < 1e-4 and twice < 1e-4 and two > 0.03
PYTHON
