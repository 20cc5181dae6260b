#!/usr/bin/env bash
# solo-learn==1.0.2 (torchmetrics 0.9.3)
# Guess: WeightedKNNClassifier(distance_fx="cosine"), the default, compares features by their cosine, as its docstring says; their
#   norms do not matter.
# Behaviour: It takes the dot product, and a neighbour's weight is the exponential of it over T = 0.07. Above a product of 6.2
#   (norms of 2.5 and more) the weight is infinite, and NaN for each class that the neighbour is not of: the classes are ranked by
#   NaN. Nothing warns. Its own main_knn.py passes features as they are. No documentation or issue on it was found.
# Seen (ten classes that are easily told apart, 2,000 and 500 features of 128; top-1 and top-5 in %):
#   mean norm  1.0: cosine 100.0 100.0; euclidean 100.0 100.0
#   mean norm  3.0: cosine  98.4  98.4; euclidean 100.0 100.0
#   mean norm  4.0: cosine   6.2   6.2; euclidean 100.0 100.0
#   mean norm  5.0: cosine   0.0   2.6; euclidean 100.0 100.0
#   mean norm 20.0: cosine   0.0   2.8; euclidean 100.0 100.0
#   mean norm 20.0, normalized: cosine 100.0 100.0
# Why it matters: A ViT's features have a norm of 20 to 50: a student that separates all classes has a k-NN accuracy below chance,
#   and one with smaller features (another pooling, a trained norm) wins for that alone. Normalize the features first.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv venv -q venv
uv pip install -q --python venv/bin/python torch==2.15.0 numpy==2.4.6 torchmetrics==0.9.3 setuptools==79.0.1
uv pip install -q --python venv/bin/python --no-deps solo-learn==1.0.2
export OMP_NUM_THREADS=1
venv/bin/python -W ignore - <<'PYTHON'
import importlib.util
import pathlib
import sysconfig

import torch
from torch.nn.functional import normalize

# The package itself imports Lightning of 2021; the classifier needs torchmetrics alone.
file = pathlib.Path(sysconfig.get_path("purelib")) / "solo" / "utils" / "knn.py"
module = importlib.util.module_from_spec(importlib.util.spec_from_file_location("knn", file))
module.__spec__.loader.exec_module(module)

generator = torch.Generator().manual_seed(0)
centers = torch.randn(10, 128, generator=generator)


def draw(count):
    labels = torch.randint(0, 10, (count,), generator=generator)
    return centers[labels] + 1.5 * torch.randn(count, 128, generator=generator), labels


(shown, shown_labels), (asked, asked_labels) = draw(2000), draw(500)
unit = shown.norm(dim=1).mean()


def accuracy(distance, change):
    knn = module.WeightedKNNClassifier(k=20, distance_fx=distance)
    knn.update(change(shown / unit), shown_labels, change(asked / unit), asked_labels)
    return knn.compute()


seen = {}
for norm in (1.0, 3.0, 4.0, 5.0, 20.0):
    seen[norm] = accuracy("cosine", lambda features: features * norm)
    euclidean = accuracy("euclidean", lambda features: features * norm)
    print("mean norm {:4.1f}: cosine {:5.1f} {:5.1f}; euclidean {:.1f} {:.1f}".format(norm, *seen[norm], *euclidean))
    assert euclidean == (100, 100)
normalized = accuracy("cosine", lambda features: normalize(features * 20))
print("mean norm 20.0, normalized: cosine {:.1f} {:.1f}".format(*normalized))
assert normalized == seen[1.0] == (100, 100)
assert seen[3.0][0] > seen[4.0][0] < 50 and max(*seen[5.0], *seen[20.0]) < 10
PYTHON
