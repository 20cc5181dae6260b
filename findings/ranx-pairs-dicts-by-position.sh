#!/usr/bin/env bash
# ranx==0.3.21
# Guess: evaluate() of plain dicts, which its signature allows, looks each query's results up by the query's name; it checks that both
#   have the same names.
# Behaviour: The names are only compared as sets. Of each dict the values are then taken in its own order, and the first query of one is
#   judged by the relevant images of the first of the other. The classes Qrels and Run sort by name and are right in any order; a Qrels
#   with a dict is right only where the dict happens to be sorted. The documentation shows the classes and says nothing of the order of
#   dicts; no issue on it was found.
# Seen (50 queries whose only relevant image is found first; share of queries where it is first):
#   dict, dict of the same order:   1.00
#   dict, dict of another order:    0.04
#   Qrels, Run of another order:    1.00
#   Qrels, dict as it was made:     0.04
# Why it matters: Results that were gathered per class, in batches of a shuffled loader or by several processes have queries in another
#   order than the labels. A student that retrieves all looks like a random one, or a little better than that, and nothing is said.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv venv -q venv
uv pip install -q --python venv/bin/python numpy==2.4.6 ranx==0.3.21
export OMP_NUM_THREADS=1 NUMBA_NUM_THREADS=1
venv/bin/python -W ignore - <<'PYTHON'
import numpy as np
from ranx import Qrels, Run, evaluate

count = 50
relevant = {f"query{index}": {f"image{index}": 1} for index in range(count)}
found = {f"query{index}": {f"image{(index + far) % count}": 1.0 - far / 10 for far in range(5)} for index in range(count)}
order = np.random.default_rng(0).permutation(count)
other = {f"query{index}": found[f"query{index}"] for index in order}
assert all(max(results, key=results.get) in relevant[query] for query, results in other.items())


def judge(title, relevant, found):
    value = evaluate(relevant, found, "hit_rate@1")
    print(f"{title + ':':31} {value:.2f}")
    return value


same = judge("dict, dict of the same order", relevant, found)
shuffled = judge("dict, dict of another order", relevant, other)
classes = judge("Qrels, Run of another order", Qrels(relevant), Run(other))
mixed = judge("Qrels, dict as it was made", Qrels(relevant), found)
assert same == classes == 1 and shuffled < 0.2 and mixed < 0.5
PYTHON
