#!/usr/bin/env bash
# ckatorch==1.0.3
# Guess: CKA(student, teacher, layers)(loader) sums over the loader's batches, as the minibatch CKA of Nguyen et al. that its
#   docstring names; the batch size matters little.
# Behaviour: Each batch overwrites the matrix of the one before. A pass over the loader gives the CKA of its last batch, often
#   a small one, since a loader with drop_last is refused; epochs averages as many last batches.
# Seen (1,001 images of 10 tokens, the CKA of the last layers, random models):
#   one batch of 1001: 0.353
#   batches of 100, the last with one image: 0.509; that image alone: 0.509; with 1,000 other images before it: 0.509
#   batches of 100, shuffled, 10 epochs, three seeds: 0.395 0.305 0.384; 10 images decide, of 10,010 that were computed
# Why it matters: How much of its teacher a student has kept is told by a few images out of a thousand, at the price of all. The
#   number is plausible, and differs between seeds by a quarter. Give the loader one batch of all images.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv venv -q venv
uv pip install -q --python venv/bin/python torch==2.15.0 ckatorch==1.0.3
export OMP_NUM_THREADS=1 TQDM_DISABLE=1 MPLBACKEND=Agg
venv/bin/python -W ignore - <<'PYTHON'
import torch
from ckatorch import CKA
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class Model(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.first, self.last = nn.Linear(8, width), nn.Linear(width, width)

    def forward(self, x):
        return self.last(self.first(x).relu())


def cka(images, size, **more):
    loader = DataLoader(TensorDataset(images), batch_size=size, shuffle="epochs" in more)
    return CKA(student, teacher, ["last"])(loader, **({"epochs": 1} | more)).item()


torch.manual_seed(0)
student, teacher = Model(12), Model(16)
images, others = torch.randn(1001, 10, 8), torch.randn(1000, 10, 8)
whole = cka(images, 1001)
last, alone, replaced = cka(images, 100), cka(images[-1:], 1), cka(torch.cat([others, images[-1:]]), 100)
print(f"one batch of 1001: {whole:.3f}")
print(f"batches of 100, the last with one image: {last:.3f}; that image alone: {alone:.3f}; with 1,000 other images before it: {replaced:.3f}")
seeds = []
for seed in range(3):
    torch.manual_seed(seed)
    seeds.append(cka(images, 100, epochs=10))
print(f"batches of 100, shuffled, 10 epochs, three seeds: {' '.join(f'{value:.3f}' for value in seeds)}; 10 images decide, of 10,010 that were computed")
assert last == alone == replaced and abs(last - whole) > 0.03
assert max(seeds) - min(seeds) > 0.01
PYTHON
