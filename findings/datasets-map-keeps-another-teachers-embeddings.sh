#!/usr/bin/env bash
# datasets==5.2.0
# Guess: map takes its result from the cache if function and data are the same; with other weights of the teacher, or with changed
#   code, it computes anew.
# Behaviour: A function that is imported from a module is known by its name alone. Neither its code nor what it uses, such as
#   the teacher that the module loads, counts. A function of the running script is compared with all that it uses.
# Seen (a saved set, mapped in four runs; how far the embeddings are from those that the function returns):
#   run 1, teacher A:           imported 0.0, in the script 0.0
#   run 2, teacher B:           imported 6.4, in the script 0.0
#   run 3, teacher B, new code: imported 7.4, in the script 0.0
#   run 4, teacher B, new code, load_from_cache_file=False: imported 0.0, in the script 0.0
# Why it matters: A benchmark of several teachers stores the first one's embeddings for all, and a fix of the preprocessing changes
#   nothing: moving a function from a notebook to a file is enough. Give map a new_fingerprint of the weights and of the code.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv venv -q venv
uv pip install -q --python venv/bin/python torch==2.15.0 numpy==2.4.6 datasets==5.2.0
export OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1 HF_HOME="$folder"
cat > teacher.py <<'PYTHON'
import torch

weights = torch.load("weights.pt")


def embedded(batch):
    return {"embedding": (torch.tensor(batch["image"]) @ weights).tolist()}
PYTHON
cat > prepare.py <<'PYTHON'
import sys

import datasets
import torch

import teacher

datasets.disable_progress_bars()
title, expected, *options = sys.argv[1:]
weights, more = teacher.weights, {"load_from_cache_file": False} if options else {}


def embedded(batch):
    return {"embedding": (torch.tensor(batch["image"]) @ weights).tolist()}


def off(function):
    mapped = datasets.load_from_disk("set").map(function, batched=True, **more)
    truth = torch.tensor(function({"image": mapped["image"][:]})["embedding"])
    return (torch.tensor(mapped["embedding"][:]) - truth).abs().max().item()


imported, here = off(teacher.embedded), off(embedded)
print(f"{title} imported {imported:.1f}, in the script {here:.1f}")
assert (imported > 0.1) == (expected == "stale") and here == 0
PYTHON
venv/bin/python - <<'PYTHON'
import datasets
import torch

datasets.disable_progress_bars()
torch.manual_seed(0)
datasets.Dataset.from_dict({"image": torch.randn(8, 4).tolist()}).save_to_disk("set")
for name in "AB":
    torch.save(torch.randn(4, 2), f"{name}.pt")
PYTHON
cp A.pt weights.pt
venv/bin/python prepare.py "run 1, teacher A:          " right
cp B.pt weights.pt
venv/bin/python prepare.py "run 2, teacher B:          " stale
sed -i 's/@ weights)/@ weights + 1)/' teacher.py
venv/bin/python prepare.py "run 3, teacher B, new code:" stale
venv/bin/python prepare.py "run 4, teacher B, new code, load_from_cache_file=False:" right anew
