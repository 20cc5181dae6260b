#!/usr/bin/env bash
# rsatoolbox==0.3.2
# Guess: RDMs carry the names that the data sets give their images, so compare() of a teacher's and a student's aligns the images by name,
#   or refuses another order.
# Behaviour: calc_rdm(dataset) keeps the data set's order and its names, and compare() looks at numbers alone: the RDMs of one model, from
#   the same images in another order, are as good as unrelated. concat() does align by name, and does so in the caller's own object: after
#   it compare() of the same two variables is right. calc_rdm(dataset, descriptor="image") sorts by name, and compare() is right, too. The
#   documentation of compare() says nothing of the order; no issue was found.
# Seen (60 images with features of 32 dimensions; the second RDM from the same features in a shuffled order, both with the images' names):
#   compare, corr:                  0.114
#   compare, cosine:                0.951
#   compare, spearman:              0.113
#   corr after concat() of the two: 1.000
#   corr with descriptor="image":   1.000
# Why it matters: A student whose embeddings came from a shuffled loader has a representational similarity of nothing to its teacher; the
#   cosine, which is high for any two RDMs, hides it. Name the descriptor in calc_rdm().
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv venv -q venv
uv pip install -q --python venv/bin/python numpy==2.1.3 rsatoolbox==0.3.2
export OMP_NUM_THREADS=1
venv/bin/python -W ignore - <<'PYTHON'
import numpy as np
from rsatoolbox.data import Dataset
from rsatoolbox.rdm import calc_rdm, compare, concat

random = np.random.default_rng(0)
features = random.normal(size=(60, 32))
names = np.array([f"image-{index:02}" for index in range(60)])
order = random.permutation(60)


def matrices(**given):
    """Dissimilarities of the same features in their order and in a shuffled one, with the images' names."""
    pairs = [(features, names), (features[order], names[order])]
    return [calc_rdm(Dataset(rows, obs_descriptors={"image": image}), method="euclidean", **given) for rows, image in pairs]


def judge(title, pair, method="corr"):
    value = compare(*pair, method=method).item()
    print(f"{title + ':':31} {value:.3f}")
    return value


pair = matrices()
assert list(pair[0].pattern_descriptors["image"]) == list(names)
assert list(pair[1].pattern_descriptors["image"]) == list(names[order])
corr, cosine, spearman = (judge(f"compare, {method}", pair, method) for method in ("corr", "cosine", "spearman"))
concat(*pair)
merged = judge("corr after concat() of the two", pair)
named = judge('corr with descriptor="image"', matrices(descriptor="image"))
assert list(pair[1].pattern_descriptors["image"]) == list(names), "the caller's own object was sorted"
assert abs(corr) < 0.2 and abs(spearman) < 0.2 and cosine > 0.8
assert merged > 0.999999 and named > 0.999999
PYTHON
