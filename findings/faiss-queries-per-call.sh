#!/usr/bin/env bash
# faiss-cpu==1.15.1
# Guess: An exact index (IndexFlatL2) gives a query the same neighbours and distances whichever other queries are in
#   the call.
# Behaviour: From 128,000 numbers in a call (250 queries of 512 values; cvar.distance_compute_blas_threshold)
#   distances come from |x|^2 + |y|^2 - 2xy in float32: of raw positive features with near duplicates 41 % no longer
#   find themselves first, and the distance to oneself is larger than that of the two views. One query fewer, and
#   all is exact. Subtracting the mean first helps.
# Seen:
#   raw       100 queries a call:   0.0% do not find themselves first; largest distance to oneself 0.0e+00, true distance of the two views 5.0e-05
#   raw       249 queries a call:   0.0% do not find themselves first; largest distance to oneself 0.0e+00, true distance of the two views 5.0e-05
#   raw       250 queries a call:  41.2% do not find themselves first; largest distance to oneself 3.7e-04, true distance of the two views 5.0e-05
#   raw      2000 queries a call:  41.2% do not find themselves first; largest distance to oneself 3.7e-04, true distance of the two views 5.0e-05
#   centred   100 queries a call:   0.0% do not find themselves first; largest distance to oneself 0.0e+00, true distance of the two views 5.0e-05
#   centred   249 queries a call:   0.0% do not find themselves first; largest distance to oneself 0.0e+00, true distance of the two views 5.0e-05
#   centred   250 queries a call:   0.0% do not find themselves first; largest distance to oneself 1.5e-05, true distance of the two views 5.0e-05
#   centred  2000 queries a call:   0.0% do not find themselves first; largest distance to oneself 1.5e-05, true distance of the two views 5.0e-05
# Why it matters: k-NN accuracy, the share of common neighbours and searches for duplicates between train and test
#   change with the chunk size, and dropping the first neighbour as "the query itself" drops another one. Remove
#   oneself by index, centre or normalise, fix the chunk size.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv venv -q venv
uv pip install -q --python venv/bin/python faiss-cpu==1.15.1 numpy==2.4.6
export OMP_NUM_THREADS=1
venv/bin/python -W ignore - <<'PYTHON'
import faiss
import numpy as np

faiss.omp_set_num_threads(1)
draw = np.random.default_rng(0)
base = (0.2 * draw.standard_normal((1000, 512)) + 1).clip(0).astype(np.float32)  # raw pooled features, all positive
views = (base + 0.0003 * draw.standard_normal(base.shape)).clip(0).astype(np.float32)
bank = np.concatenate([base, views])
exact = np.arange(2000)

seen = {}
for name, rows in (("raw", bank), ("centred", bank - bank.mean(axis=0))):
    index = faiss.IndexFlatL2(512)
    index.add(rows)
    for size in (100, 249, 250, 2000):
        parts = [index.search(rows[start : start + size], 2) for start in range(0, 2000, size)]
        distance, found = (np.concatenate(part) for part in zip(*parts))
        lost = (found[:, 0] != exact).mean()
        seen[name, size] = lost
        print(f"{name:8s} {size:4d} queries a call: {lost:6.1%} do not find themselves first; largest distance to oneself {distance[found == exact[:, None]].max():.1e}, true distance of the two views {((rows[0] - rows[1000]) ** 2).sum():.1e}")
assert seen["raw", 100] == seen["raw", 249] == 0
assert seen["raw", 250] > 0.1 and seen["raw", 2000] > 0.1
assert seen["centred", 2000] < seen["raw", 2000]
PYTHON
