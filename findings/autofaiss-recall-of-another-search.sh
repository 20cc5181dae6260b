#!/usr/bin/env bash
# autofaiss==2.18.0 (faiss-cpu 1.15.1)
# Guess: score_index measures the recall of an index against an exact search of its own metric in the embeddings that it is given.
# Behaviour: The exact search is by inner product, also for metric_type="l2". Its result is kept in the folder of the embeddings
#   ("cached ground truth for fast scoring the next times") and taken again when the folder has other embeddings, even another number
#   of them. Neither is logged or documented; no issue on it was found.
# Seen (3,000 embeddings of 64, exact indices, whose 40-recall@40 is 1):
#   ip: recall 1.000, by hand 1.000
#   l2: recall 0.038, by hand 1.000
#   l2, normalized: recall 1.000, by hand 1.000
#   ip, another model's embeddings in the first one's folder: recall 0.038, by hand 1.000
# Why it matters: An index of a student's features by Euclidean distance looks broken, and the one that is tuned until its recall is
#   high finds other neighbours. Compare with faiss.IndexFlatL2, and remove *.gt from the folder when the embeddings change.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv venv -q venv
uv pip install -q --python venv/bin/python numpy==1.26.4 faiss-cpu==1.15.1 pyarrow==19.0.1 embedding-reader==1.8.1 autofaiss==2.18.0
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
venv/bin/python -W ignore - 2>log <<'PYTHON'
import logging
import pathlib

import numpy
from autofaiss import build_index, score_index


def embed(model):
    random = numpy.random.default_rng(model)
    return (random.normal(size=(3000, 64)) * random.uniform(0.5, 2, size=(3000, 1))).astype(numpy.float32)


def recalls(title, embeddings, metric, name):
    folder = pathlib.Path(name)
    folder.mkdir(exist_ok=True)
    numpy.save(folder / "embeddings.npy", embeddings)
    index, _ = build_index(name, "flat.index", "infos.json", metric_type=metric, index_key="Flat", nb_cores=1, verbose=logging.ERROR)
    score = score_index("flat.index", name, output_index_info_path="score.json", current_memory_available="1G", verbose=logging.ERROR)
    asked = embeddings[:500].astype(float)
    near = asked @ embeddings.T - (metric == "l2") * (embeddings.astype(float) ** 2).sum(axis=1) / 2
    exact = numpy.argsort(-near, axis=1)[:, :40]
    by_hand = numpy.mean([numpy.isin(one, two).mean() for one, two in zip(exact, index.search(embeddings[:500], 40)[1])])
    print(f"{title}: recall {score['40-recall@40']:.3f}, by hand {by_hand:.3f}")
    assert by_hand > 0.999
    return score["40-recall@40"]


first, second = embed(0), embed(1)
assert recalls("ip", first, "ip", "first") > 0.999
assert recalls("l2", first, "l2", "second") < 0.1
normalized = first / numpy.linalg.norm(first, axis=1, keepdims=True)
assert recalls("l2, normalized", normalized, "l2", "third") > 0.999
assert recalls("ip, another model's embeddings in the first one's folder", second, "ip", "first") < 0.1
PYTHON
