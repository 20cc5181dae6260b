#!/usr/bin/env bash
# timm==1.0.31 (torchvision 0.29.2)
# Guess: timm's folder reader and torchvision's ImageFolder give the classes of one folder the same numbers, since both
#   sort their names.
# Behaviour: timm reads numbers in names as numbers and ignores case, torchvision compares characters. Folders called 1 to 20, or
#   class_9 and class_10, get other numbers in each; ImageNet's n01440764 do not.
# Seen:
#   timm         1, 2, 10, class_9, class_10, dog, Zebra
#   torchvision  1, 10, 2, Zebra, class_10, class_9, dog
#   a perfect teacher of timm's scores 29% on torchvision's labels
# Why it matters: A teacher is fine-tuned with timm's script and its logits are distilled, or its accuracy measured, over a
#   torchvision loader of the same folder: each class is taught as another one, and the loss falls all the same. Pass
#   class_map to timm, zero-pad the names, or compare class_to_idx.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv venv -q venv
uv pip install -q --python venv/bin/python torch==2.15.0 torchvision==0.29.2 timm==1.0.31 pillow==13.0.0
export OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1
venv/bin/python -W ignore - <<'PYTHON'
from pathlib import Path

from PIL import Image
from timm.data import create_dataset
from torchvision.datasets import ImageFolder

NAMES = ("1", "2", "10", "dog", "Zebra", "class_9", "class_10")
for name in NAMES:
    Path("images", name).mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(f"images/{name}/a.png")

timm = create_dataset("", root="images").reader.class_to_idx
torchvision = ImageFolder("images").class_to_idx
for name, numbers in (("timm", timm), ("torchvision", torchvision)):
    print(f"{name:12s} {', '.join(sorted(numbers, key=numbers.get))}")
same = sum(timm[name] == torchvision[name] for name in NAMES) / len(NAMES)
print(f"a perfect teacher of timm's scores {same:.0%} on torchvision's labels")
assert sorted(timm, key=timm.get) == ["1", "2", "10", "class_9", "class_10", "dog", "Zebra"]
assert sorted(torchvision, key=torchvision.get) == ["1", "10", "2", "Zebra", "class_10", "class_9", "dog"]
PYTHON
