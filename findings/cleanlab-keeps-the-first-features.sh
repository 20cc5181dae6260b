#!/usr/bin/env bash
# cleanlab==2.9.0 (datasets 5.2.0, scikit-learn 1.9.1)
# Guess: Datalab.find_issues(features=...) judges the features that it is given. The documentation says that the graph of neighbours is
#   built from the features where no graph is given.
# Behaviour: The first call keeps its graph in the Datalab, and later calls take that one if it has neighbours enough, whatever features
#   come with them. Duplicates, outliers and the test for an order in the data are then those of the first model, under the second
#   model's name; no warning. A graph of one's own is obeyed, and so is another metric or a larger k. No issue on it was found.
# Seen (1,000 images, 40 of them with a near copy; the student keeps 6 of the teacher's 32 directions):
#   features of the teacher, then of the student:  copies found 40, then 40; outlier scores equal: True
#   the student in a Datalab of its own:           copies found 26
#   features of the student, then of the teacher:  copies found 26, then 26; outlier scores equal: True
#   a graph of the teacher after that:             copies found 40
# Why it matters: Whoever audits one data set with two models in one Datalab finds that the student sees what the teacher sees, to
#   the last digit, or that a better model finds no more copies between train and test. Make a Datalab for each model.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv venv -q venv
uv pip install -q --python venv/bin/python "cleanlab[datalab]==2.9.0" datasets==5.2.0 numpy==2.4.6 scikit-learn==1.9.1 pandas==3.1.1
export OMP_NUM_THREADS=1
venv/bin/python -W ignore - 2>log <<'PYTHON'
import numpy
from cleanlab import Datalab
from cleanlab.internal.neighbor.knn_graph import create_knn_graph_and_index

generator = numpy.random.default_rng(0)
copies, size, width = 40, 1000, 32
images = generator.normal(size=(size, width))
images[size - copies :] = images[:copies] + 0.01 * generator.normal(size=(copies, width))
teacher = images
student = images @ numpy.diag([1] * 6 + [0] * (width - 6)) + 0.03 * generator.normal(size=(size, width))
pairs = {(index, size - copies + index) for index in range(copies)}


def lab():
    return Datalab({"label": [0, 1] * (size // 2)}, label_name="label", verbosity=0)


def audit(datalab, **given):
    datalab.find_issues(issue_types={"near_duplicate": {}, "outlier": {}}, **given)
    sets = datalab.get_issues("near_duplicate")["near_duplicate_sets"]
    found = sum(copy in sets[index] for index, copy in pairs)
    return found, datalab.get_issues("outlier")["outlier_score"].to_numpy()


both, other, alone = lab(), lab(), lab()
first, second = audit(both, features=teacher), audit(both, features=student)
own = audit(alone, features=student)
third, fourth = audit(other, features=student), audit(other, features=teacher)
graph, _ = create_knn_graph_and_index(teacher, n_neighbors=10)
given = audit(other, knn_graph=graph)
same, turned = bool((first[1] == second[1]).all()), bool((third[1] == fourth[1]).all())
print(f"{'features of the teacher, then of the student:':46} copies found {first[0]}, then {second[0]}; outlier scores equal: {same}")
print(f"{'the student in a Datalab of its own:':46} copies found {own[0]}")
print(f"{'features of the student, then of the teacher:':46} copies found {third[0]}, then {fourth[0]}; outlier scores equal: {turned}")
print(f"{'a graph of the teacher after that:':46} copies found {given[0]}")
assert same and turned and first[0] == second[0] == given[0] == copies and own[0] == third[0] == fourth[0] < 0.8 * copies
PYTHON
