#!/usr/bin/env bash
# accelerate==1.15.0 (torch 2.15.0)
# Guess: gather_for_metrics "potentially drops duplicates in the last batch if on a distributed system": each image that the DataLoader
#   draws is gathered once, and with one process nothing is dropped.
# Behaviour: The last batch is cut to the length of the dataset modulo the batch size, also with one process, where nothing was added.
#   If a sampler draws another number of images than the dataset has, real images are lost, or with several processes copies stay.
#   Nothing is logged; the documentation does not say it, and no issue on samplers was found.
# Seen (1,000 images held out of a dataset, batches of 256 in all; images gathered, different ones among them):
#   one process, 5140 images: Subset 1000 1000, SubsetRandomSampler 788 788, BatchSampler 788 788, list of indices 788 788
#   one process, 5370 images: Subset 1000 1000, SubsetRandomSampler 1000 1000, BatchSampler 1000 1000, list of indices 1000 1000
#   two processes, 5140 images: Subset 1000 1000, SubsetRandomSampler 788 788, BatchSampler 788 788, list of indices 788 788
#   two processes, 5370 images: Subset 1000 1000, SubsetRandomSampler 1018 1000, BatchSampler 1018 1000, list of indices 1018 1000
# Why it matters: To split a folder by SubsetRandomSampler is usual. A fifth of the held-out images is in no accuracy and no bank of
#   k-NN, another batch size loses others, and embeddings no longer fit the list of their indices. Use Subset.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv venv -q venv
uv pip install -q --python venv/bin/python torch==2.15.0 numpy==2.4.6 accelerate==1.15.0
export OMP_NUM_THREADS=1 HF_HOME="$folder"
cat > gathered.py <<'PYTHON'
import torch
from accelerate import Accelerator
from torch.utils.data import BatchSampler, DataLoader, Subset, SubsetRandomSampler, TensorDataset

accelerator = Accelerator(cpu=True)
processes = accelerator.num_processes
batch = 256 // processes
for count in (5140, 5370):
    images, held_out = TensorDataset(torch.arange(count)), range(count - 1000, count)
    loaders = {
        "Subset": DataLoader(Subset(images, held_out), batch),
        "SubsetRandomSampler": DataLoader(images, batch, sampler=SubsetRandomSampler(held_out)),
        "BatchSampler": DataLoader(images, batch_sampler=BatchSampler(SubsetRandomSampler(held_out), batch, False)),
        "list of indices": DataLoader(images, batch, sampler=list(held_out)),
    }
    seen = []
    for name, loader in loaders.items():
        drawn, gathered = [], []
        for (indices,) in accelerator.prepare(loader):
            drawn += accelerator.gather(indices).tolist()
            gathered += accelerator.gather_for_metrics(indices).tolist()
        assert set(drawn) == set(held_out), "the loaders draw all"
        seen.append(f"{name} {len(gathered)} {len(set(gathered))}")
        expected = 1000 if name == "Subset" else 768 + min(count % 256, len(drawn) - 768)
        assert len(gathered) == expected and len(set(gathered)) == min(expected, 1000)
    if accelerator.is_main_process:
        print(f"{'one process' if processes == 1 else 'two processes'}, {count} images:", ", ".join(seen))
PYTHON
venv/bin/python -W ignore gathered.py 2>log
venv/bin/torchrun --standalone --nproc_per_node 2 gathered.py 2>>log
