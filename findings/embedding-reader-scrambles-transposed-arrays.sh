#!/usr/bin/env bash
# embedding-reader==1.8.1 (numpy 2.4.6)
# Guess: EmbeddingReader yields the rows of a folder's .npy files, as numpy.load does.
# Behaviour: It reads the shape and the type from a file's header, and neither the order of the numbers in it nor any type but the first
#   file's. numpy.save stores an array that was transposed column by column and says so; the reader cuts that into rows all the same.
#   Bytes of float32 after a file of float16 are read as float16; the other way round there is an error where a file ends. No
#   documentation or issue on either was found. autofaiss reads folders with it.
# Seen (1,000 embeddings of 32 dimensions, rotated; rows that are those of numpy.load, and 100 noisy copies whose original is the nearest;
#   the arrays are equal to numpy, the last one but for its precision):
#   images @ rotation:             100% of the rows, 100% of the copies
#   (rotation.T @ images.T).T:     0% of the rows, 0% of the copies
#   half float16, half float32:    50% of the rows, 50% of the copies
# Why it matters: Whitening, PCA and projections are often written for columns and transposed back. The index, or the student, then gets
#   noise of the right shape, and the teacher seems to be useless. Save numpy.ascontiguousarray(...), and all files in one type.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv venv -q venv
uv pip install -q --python venv/bin/python numpy==2.4.6 pandas==2.3.3 embedding-reader==1.8.1
export OMP_NUM_THREADS=1
venv/bin/python -W ignore - 2>log <<'PYTHON'
from pathlib import Path

import numpy as np
from embedding_reader import EmbeddingReader

random = np.random.default_rng(0)
images = random.normal(size=(1000, 32)).astype(np.float32)
rotation = np.linalg.qr(random.normal(size=(32, 32)))[0].astype(np.float32)
copied = np.arange(0, 1000, 10)
queries = (images[copied] + 0.1 * random.normal(size=(100, 32)).astype(np.float32)) @ rotation


def judge(title, *parts):
    """The shares of rows that numpy.load has, too, and of noisy copies whose original is the nearest row."""
    folder = Path(title.replace(" ", ""))
    folder.mkdir()
    for index, part in enumerate(parts):
        np.save(folder / f"{index}.npy", part)
    batches = EmbeddingReader(str(folder), file_format="npy")(batch_size=400, show_progress=False)
    rows = np.concatenate([batch for batch, _ in batches])
    loaded = np.concatenate([np.load(path) for path in sorted(folder.iterdir())])
    assert np.allclose(loaded, images @ rotation, atol=1e-2)
    same = np.isclose(rows, loaded, atol=1e-5).all(axis=1).mean()
    distances = ((queries[:, None].astype(float) - np.nan_to_num(rows[None].astype(float))) ** 2).sum(axis=2)
    found = (distances.argmin(axis=1) == copied).mean()
    print(f"{title + ':':30} {same:.0%} of the rows, {found:.0%} of the copies")
    return same, found


rows = images @ rotation
plain = judge("images @ rotation", rows)
turned = judge("(rotation.T @ images.T).T", (rotation.T @ images.T).T)
mixed = judge("half float16, half float32", rows[:500].astype(np.float16), rows[500:])
assert plain == (1, 1) and turned[0] < 0.01 and turned[1] < 0.05 and mixed[0] == 0.5 and mixed[1] <= 0.55
PYTHON
