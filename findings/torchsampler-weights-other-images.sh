#!/usr/bin/env bash
# torchsampler==0.1.2 (pandas 3.1.1)
# Guess: ImbalancedDatasetSampler(dataset, labels=..., indices=...) draws the images of these indices, each class as often.
# Behaviour: The weights are put into the order of the sorted indices, the indices stay as they were given. A shuffled list, as
#   random_split and train_test_split return it, gets each image the weight of another: the classes are drawn about as often as
#   they are. Nothing is raised (a Subset without labels is an error); no documentation or issue on it was found.
# Seen (1,000 images of three classes, 800 of them drawn at random; 9,000 draws, by class):
#   images there are:              718, 74, 8
#   sorted indices:                2977, 2994, 3029
#   random_split's indices:        7993, 943, 64
# Why it matters: A long-tailed set is distilled as unbalanced as it is, while the record says that it was balanced. Sort the indices,
#   or use WeightedRandomSampler on a Subset.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv venv -q venv
uv pip install -q --python venv/bin/python torch==2.15.0 torchvision==0.29.2 numpy==2.4.6 pandas==3.1.1 torchsampler==0.1.2
export OMP_NUM_THREADS=1
venv/bin/python -W ignore - <<'PYTHON'
import torch
from torch.utils.data import TensorDataset, random_split
from torchsampler import ImbalancedDatasetSampler

generator = torch.Generator().manual_seed(0)
labels = torch.tensor([0] * 900 + [1] * 90 + [2] * 10)
images = TensorDataset(torch.randn(1000, 4, generator=generator), labels)
shuffled = list(random_split(images, [800, 200], generator=generator)[0].indices)


def classes(indices):
    return torch.bincount(labels[indices], minlength=3).tolist()


def draws(title, indices):
    torch.manual_seed(0)
    sampler = ImbalancedDatasetSampler(images, labels=labels[indices].tolist(), indices=indices, num_samples=9000)
    drawn = list(sampler)
    assert set(drawn) <= set(indices)
    print(f"{title + ':':30} {', '.join(map(str, classes(drawn)))}")
    return classes(drawn)


there = classes(shuffled)
print(f"{'images there are:':30} {', '.join(map(str, there))}")
balanced = draws("sorted indices", sorted(shuffled))
other = draws("random_split's indices", shuffled)
assert min(balanced) > 2800
assert all(abs(count / 9000 - images / 800) < 0.05 for count, images in zip(other, there))
PYTHON
