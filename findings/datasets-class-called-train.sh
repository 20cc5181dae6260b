#!/usr/bin/env bash
# datasets==5.2.0
# Guess: load_dataset("imagefolder", data_dir=...) of one folder per class gives all pictures and their labels, as
#   torchvision's ImageFolder does.
# Behaviour: Where one class folder is called train (a class of COCO and of CIFAR-100), or one file's name has test
#   as a word of it, that name is taken for a split: only what bears it is loaded, without labels and without a
#   warning. 15 of 20 pictures, or 19 of 20, are gone.
# Seen:
#   4 classes of 5 pictures: apple bus tank whale
#     {'train': 20}, labels {'train': ['apple', 'bus', 'tank', 'whale']}
#   the same, but tank is called train, as the class of COCO and CIFAR-100
#     {'train': 5}, labels {'train': None}
#   the same by data_files
#     {'train': 20}, labels {'train': ['apple', 'bus', 'train', 'whale']}
#   4 classes, one of the 20 pictures is called bus/test_drive.png
#     {'test': 1}, labels {'test': None}
# Why it matters: CIFAR-100 or crops of COCO written to class folders are what people distil on: the teacher's pass
#   then runs over 1 % of CIFAR-100. It is documented for folders of splits, and known for files (datasets issue
#   5021). Give data_files, which is right here, and compare the number of rows with the number of files.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv venv -q venv
uv pip install -q --python venv/bin/python datasets==5.2.0 pillow==13.0.0 numpy==2.4.6 pyarrow==26.0.1
export OMP_NUM_THREADS=1 HF_HOME="$folder/hf" HF_HUB_OFFLINE=1 HF_DATASETS_DISABLE_PROGRESS_BARS=1
venv/bin/python -W ignore - <<'PYTHON'
import pathlib

import numpy as np
from datasets import load_dataset
from PIL import Image

draw = np.random.default_rng(0)


def folders(root, classes, count=5):
    for name in classes:
        (root / name).mkdir(parents=True)
        for number in range(count):
            picture = draw.integers(0, 256, (32, 32, 3), dtype=np.uint8)
            Image.fromarray(picture).save(root / name / f"{number:04d}.png")
    return root


def load(root, **options):
    found = load_dataset("imagefolder", **(options or {"data_dir": str(root)}), cache_dir=f"{root}-cache")
    rows = {split: part.num_rows for split, part in found.items()}
    names = {split: getattr(part.features.get("label"), "names", None) for split, part in found.items()}
    print(f"  {rows}, labels {names}")
    return rows, names


print("4 classes of 5 pictures: apple bus tank whale")
plain = load(folders(pathlib.Path("plain"), ["apple", "bus", "tank", "whale"]))
print("the same, but tank is called train, as the class of COCO and CIFAR-100")
train = load(folders(pathlib.Path("vehicles"), ["apple", "bus", "train", "whale"]))
print("the same by data_files")
files = load(pathlib.Path("vehicles"), data_files="vehicles/**")
print("4 classes, one of the 20 pictures is called bus/test_drive.png")
root = folders(pathlib.Path("drive"), ["apple", "bus", "tank", "whale"])
(root / "bus" / "0000.png").rename(root / "bus" / "test_drive.png")
drive = load(root)

assert plain == ({"train": 20}, {"train": ["apple", "bus", "tank", "whale"]})
assert train == ({"train": 5}, {"train": None})
assert files == ({"train": 20}, {"train": ["apple", "bus", "train", "whale"]})
assert drive == ({"test": 1}, {"test": None})
PYTHON
