#!/usr/bin/env bash
# timm==1.0.31
# Guess: LogitDistillationTask refuses a teacher that has other classes than the student, since their logits cannot be compared.
# Behaviour: A teacher that is given by name is created with the student's number of classes: its blocks are the pretrained
#   ones, its classifier is random, and the loss is that of random logits. No warning. The same weights as
#   teacher_pretrained_path, or as a module, are an error.
# Seen:
#   student of 1000 classes: the teacher's blocks are the file's: True, its classifier: True
#   student of 10 classes:   the teacher's blocks are the file's: True, its classifier: False; 0 warnings, 0 log records from WARNING on
#   student of 10 classes, teacher_pretrained_path: RuntimeError
# Why it matters: "Distil an ImageNet teacher into a student of my ten classes" trains on a fixed random projection of good
#   features, at full weight beside the labels, and what is measured as distillation is noise. Train a classifier for the
#   teacher first and pass its file, or use FeatureDistillationTask.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv venv -q venv
uv pip install -q --python venv/bin/python torch==2.15.0 torchvision==0.29.2 timm==1.0.31
export OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1
venv/bin/python - <<'PYTHON'
import logging
import warnings

import timm
import torch
from safetensors.torch import save_file
from timm.task import LogitDistillationTask

NAME = "vit_tiny_patch16_224"


class Kept(logging.Handler):
    records: list = []

    def emit(self, record):
        self.records.append(record)


logging.getLogger().addHandler(Kept(logging.WARNING))
torch.manual_seed(0)
whole = timm.create_model(NAME)  # stands for the pretrained weights, which timm would fetch by the teacher's name
save_file(whole.state_dict(), "whole.safetensors")


def filled(classes):
    """Whether the teacher has the file's blocks and classifier, and how many warnings there were."""
    student = timm.create_model("resnet18", num_classes=classes)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        task = LogitDistillationTask(student, NAME, teacher_pretrained_cfg_overlay={"file": "whole.safetensors"})
    loss = task(torch.randn(2, 3, 224, 224), torch.tensor([1, 2]))["kd_loss"]
    assert loss > 0
    teacher = task.teacher.model
    blocks = all(torch.equal(a, b) for a, b in zip(teacher.blocks.parameters(), whole.blocks.parameters(), strict=True))
    head = teacher.head.weight
    return blocks, head.shape == whole.head.weight.shape and torch.equal(head, whole.head.weight), len(warned)


blocks, classifier, _ = filled(1000)
print(f"student of 1000 classes: the teacher's blocks are the file's: {blocks}, its classifier: {classifier}")
Kept.records.clear()
few, random, warned = filled(10)
print(
    f"student of 10 classes:   the teacher's blocks are the file's: {few}, its classifier: {random}; {warned} warnings, "
    f"{len(Kept.records)} log records from WARNING on"
)
try:
    LogitDistillationTask(timm.create_model("resnet18", num_classes=10), NAME, teacher_pretrained_path="whole.safetensors")
    refused = False
except RuntimeError:
    refused = True
print(f"student of 10 classes, teacher_pretrained_path: {'RuntimeError' if refused else 'loads'}")
assert blocks and classifier and few and not random and refused
assert warned == len(Kept.records) == 0
PYTHON
