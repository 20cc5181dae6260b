#!/usr/bin/env bash
# webdataset==1.0.2
# Guess: WebDataset(..., seed=0, shardshuffle=100).shuffle(1000) gives the same order in every run, and so do equal seeds of torch,
#   random and numpy.
# Behaviour: The argument reaches the order of shards alone. The buffer of shuffle() is seeded by the process's id and the time,
#   whatever the seeds are; only shuffle(..., seed=0), a second argument of the same name, fixes it.
# Seen (two runs of 400 samples in 4 shards):
#   seed=0 of the data set and of torch, random and numpy: same shards True, same samples False
#   and shuffle(1000, seed=0): same shards True, same samples True
# Why it matters: Two trainings "of the same seed" see other batches, and the teacher features that are stored in the order of one run
#   belong to other images in the next.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv venv -q venv
uv pip install -q --python venv/bin/python torch==2.15.0 webdataset==1.0.2
export OMP_NUM_THREADS=1
cat > order.py <<'PYTHON'
import random
import sys

import numpy as np
import torch
import webdataset

for seed in (torch.manual_seed, random.seed, np.random.seed):
    seed(0)
options = {"seed": 0} if sys.argv[1] == "both" else {}
data = webdataset.WebDataset("shard-{0..3}.tar", seed=0, shardshuffle=100)
print(" ".join(dict.fromkeys(sample["__key__"][0] for sample in data)))
data = webdataset.WebDataset("shard-{0..3}.tar", seed=0, shardshuffle=100).shuffle(1000, **options)
print(" ".join(sample["__key__"] for sample in data))
PYTHON
venv/bin/python -W ignore - <<'PYTHON'
import subprocess
import sys

import webdataset

for shard in range(4):
    with webdataset.TarWriter(f"shard-{shard}.tar") as tar:
        for number in range(100):
            tar.write({"__key__": f"{shard}{number:03d}", "cls": number})


def same(what):
    runs = [subprocess.run([sys.executable, "-W", "ignore", "order.py", what], capture_output=True, text=True, check=True).stdout.splitlines() for _ in range(2)]
    assert all(len(samples.split()) == 400 for _, samples in runs)
    return [one == other for one, other in zip(*runs, strict=True)]


one, both = same("one"), same("both")
print("seed=0 of the data set and of torch, random and numpy: same shards {}, same samples {}".format(*one))
print("and shuffle(1000, seed=0): same shards {}, same samples {}".format(*both))
assert one == [True, False] and both == [True, True]
PYTHON
