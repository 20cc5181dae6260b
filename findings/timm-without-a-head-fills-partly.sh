#!/usr/bin/env bash
# timm==1.0.31
# Guess: create_model(pretrained=True) of a checkpoint that lacks tensors fails, whatever the number of classes.
# Behaviour: With another number of classes than the checkpoint's (num_classes=0 for features, or one's own) weights are
#   loaded with strict=False, and not of the classifier alone: blocks that the file lacks keep their random weights.
#   The missing names are logged at INFO, which nobody sees. With the checkpoint's own classes it is an error.
# Seen:
#   num_classes=1000: RuntimeError
#   num_classes=0: loads, 0 warnings, 0 log records from WARNING on; block 0 filled True, block 11 filled False
# Why it matters: A feature extractor, a teacher or a student starts from a truncated or partly converted file as if it
#   were whole, and its features look plausible. Load with the checkpoint's own classes, and then reset_classifier(0).
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

NAME, LACKS = "vit_tiny_patch16_224", ("blocks.9.", "blocks.10.", "blocks.11.")


class Kept(logging.Handler):
    records: list = []

    def emit(self, record):
        self.records.append(record)


logging.getLogger().addHandler(Kept(logging.WARNING))
torch.manual_seed(0)
whole = timm.create_model(NAME)
save_file({name: tensor for name, tensor in whole.state_dict().items() if not name.startswith(LACKS)}, "part.safetensors")
options = {"pretrained": True, "pretrained_cfg_overlay": {"file": "part.safetensors"}}

try:
    timm.create_model(NAME, num_classes=1000, **options)
    strict = False
except RuntimeError:
    strict = True
print(f"num_classes=1000: {'RuntimeError' if strict else 'loads'}")

with warnings.catch_warnings(record=True) as warned:
    warnings.simplefilter("always")
    part = timm.create_model(NAME, num_classes=0, **options)
filled = [torch.equal(part.blocks[at].attn.qkv.weight, whole.blocks[at].attn.qkv.weight) for at in (0, 11)]
print(
    f"num_classes=0: loads, {len(warned)} warnings, {len(Kept.records)} log records from WARNING on; block 0 filled {filled[0]}, "
    f"block 11 filled {filled[1]}"
)

assert strict and filled == [True, False] and not warned and not Kept.records
PYTHON
