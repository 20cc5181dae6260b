#!/usr/bin/env bash
# usearch==2.26.6
# Guess: An index with dtype "u8" searches embeddings that were quantized to unsigned bytes, and so does search() of two such arrays.
# Behaviour: A NumPy array of uint8 is taken for packed bits, whatever the index's dtype. add() and search() read as many bits of each row
#   as the index has dimensions, the first eighth of its bytes, and compare these; the function search() returns NaN as each distance. With
#   dtype="u8" in add() and search() all is right. The README mentions that argument, not what happens without it; issue 595 is open.
# Seen (1,000 embeddings of 64 dimensions as bytes; 100 queries are noisy copies; recall of the exact 10, and share of copies found first):
#   Index(dtype="u8"), add(bytes), search(bytes):        0.09, 62%
#   the same, with dtype="u8" in both calls:             1.00, 100%
#   Index(dtype="i8"), the bytes less 128 as int8:       1.00, 100%
#   search(bytes, bytes):                                0.01, 1%; distances are NaN
#   distances are those of the first 64 bits of 512:     True
# Why it matters: Quantizing a teacher's or student's embeddings to uint8 seems to cost all of the recall; or an index in production answers
#   by the first eighth of the dimensions.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv venv -q venv
uv pip install -q --python venv/bin/python numpy==2.4.6 usearch==2.26.6
export OMP_NUM_THREADS=1
venv/bin/python -W ignore - <<'PYTHON'
import numpy as np
from usearch.index import Index, search

random = np.random.default_rng(0)
embeddings = random.normal(size=(1000, 64))
noisy = embeddings[:100] + 0.1 * random.normal(size=(100, 64))
gallery, queries = (np.clip(np.round(32 * values) + 128, 0, 255).astype(np.uint8) for values in (embeddings, noisy))
distances = ((queries[:, None].astype(int) - gallery[None].astype(int)) ** 2).sum(axis=2)
exact = distances.argsort(axis=1, kind="stable")[:, :10]


def judge(title, matches):
    keys = np.asarray(matches.keys)
    recall = np.mean([len(set(found) & set(right)) / 10 for found, right in zip(keys, exact)])
    first = (keys[:, 0] == np.arange(100)).mean()
    nan = np.isnan(np.asarray(matches.distances)).all()
    print(f"{title + ':':52} {recall:.2f}, {first:.0%}" + ("; distances are NaN" if nan else ""))
    return recall, first, nan, np.asarray(matches.distances)


def through_index(kind, gallery, queries, **given):
    index = Index(ndim=64, metric="l2sq", dtype=kind)
    index.add(np.arange(len(gallery)), gallery, threads=1, **given)
    return index.search(queries, 10, exact=True, threads=1, **given)


bits = judge('Index(dtype="u8"), add(bytes), search(bytes)', through_index("u8", gallery, queries))
told = judge('the same, with dtype="u8" in both calls', through_index("u8", gallery, queries, dtype="u8"))
signed = judge('Index(dtype="i8"), the bytes less 128 as int8', through_index("i8", *((a ^ 128).view(np.int8) for a in (gallery, queries))))
plain = judge("search(bytes, bytes)", search(gallery, queries, 10, "l2sq", exact=True))
first = [np.unpackbits(a[:, :8], axis=1) for a in (gallery, queries)]
hamming = np.sort((first[1][:, None] != first[0][None]).sum(axis=2), axis=1)[:, :10]
same = bool((bits[3] == hamming).all())
print(f"{'distances are those of the first 64 bits of 512:':52} {same}")
assert bits[0] < 0.2 and bits[1] < 0.9 and same
assert told[0] > 0.99 and told[1] == signed[1] == 1 and signed[0] > 0.99
assert plain[0] < 0.2 and plain[2]
PYTHON
