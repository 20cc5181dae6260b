#!/usr/bin/env bash
# lightly-train==0.18.0 (timm 1.0.31)
# Guess: pretrain(method="distillation", method_args={"teacher": "timm/vit_tiny_patch16_224"}) distils from the pretrained
#   model of that name, as it does with the default teacher; without network it stops, since it cannot fetch the weights.
# Behaviour: timm's teachers are created with random weights. Training and export succeed offline, and nothing that is logged
#   says so. teacher_args={"pretrained": True} asks for the weights.
# Seen (offline, nothing cached):
#   teacher "timm/...": a student is exported; 0 lines of the log have "random" or "untrained" beside the teacher
#   with teacher_args={"pretrained": True}: fails, since the weights cannot be had
# Why it matters: The student learns to copy a random projection, whose loss falls nicely, and what is compared as a method or
#   a teacher is none. Give teacher_args={"pretrained": True}, teacher_weights, or a loaded module.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv venv -q venv
uv pip install -q --python venv/bin/python torch==2.15.0 torchvision==0.29.2 timm==1.0.31 lightly-train==0.18.0
export OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1 HF_HOME="$folder/hf" TORCH_HOME="$folder/torch" LIGHTLY_TRAIN_EVENTS_DISABLED=1
cat > run.py <<'PYTHON'
import sys
from pathlib import Path

import lightly_train
import numpy as np
from PIL import Image


def main(name, options):
    draw = np.random.default_rng(0)
    Path("images").mkdir(exist_ok=True)
    for number in range(8):
        Image.fromarray(draw.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(f"images/{number}.png")
    lightly_train.pretrain(
        out=name,
        data="images",
        model="timm/resnet18",
        method="distillation",
        method_args={"teacher": "timm/vit_tiny_patch16_224", **options},
        epochs=1,
        batch_size=4,
        num_workers=0,
        accelerator="cpu",
        transform_args={"image_size": (64, 64)},
    )


if __name__ == "__main__":
    main(sys.argv[1], {"teacher_args": {"pretrained": True}} if sys.argv[1] == "asked" else {})
PYTHON
venv/bin/python -W ignore run.py plain >plain.log 2>&1
test -f plain/exported_models/exported_last.pt
words=$(cat plain.log plain/train.log | grep -i teacher | grep -ciE "random|untrained" || true)
echo "teacher \"timm/...\": a student is exported; $words lines of the log have \"random\" or \"untrained\" beside the teacher"
test "$words" = 0
if venv/bin/python -W ignore run.py asked >asked.log 2>&1; then
    echo 'with teacher_args={"pretrained": True}: succeeds'
    exit 1
fi
grep -qiE "offline|LocalEntryNotFound|couldn't connect|cannot find" asked.log
echo 'with teacher_args={"pretrained": True}: fails, since the weights cannot be had'
