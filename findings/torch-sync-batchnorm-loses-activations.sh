#!/usr/bin/env bash
# torch==2.15.0 (timm 1.0.31)
# Guess: SyncBatchNorm.convert_sync_batchnorm makes the batch norms share their statistics between processes and changes nothing else; in
#   eval mode the model computes what it did.
# Behaviour: A subclass of a batch norm becomes a plain SyncBatchNorm, and what the subclass did besides is lost. timm's BatchNormAct2d,
#   which most of its CNNs are made of, has the activation in it: all of these are gone. They are still listed when the model
#   is printed, as children that are never called. timm has a convert_sync_batchnorm of its own that keeps them; Lightning's
#   Trainer(sync_batchnorm=True) and fastai take torch's. The documentation says nothing of subclasses; issue 187298 of PyTorch asks for a
#   warning and is open.
# Seen (random weights, eval mode; mean cosine of the embeddings with those from before, of torch's and of timm's conversion, and batch
#   norms with an activation in them):
#   resnet18:              1.000 1.000, 0
#   mobilenetv3_small_050: 0.087 1.000, 34
#   efficientnet_b0:       -0.029 1.000, 49
#   regnety_002:           0.927 1.000, 44
#   densenet121:           -0.029 1.000, 121
#   resnetv2_18:           0.087 1.000, 17
# Why it matters: A pretrained timm student or teacher that is trained on several GPUs starts as another model; training hides it, since
#   the rest adapts, and the checkpoint loads without a word into the model with activations, where it is worthless.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv venv -q venv
uv pip install -q --python venv/bin/python torch==2.15.0 torchvision==0.29.2 numpy==2.4.6 pillow==13.0.0 timm==1.0.31
export OMP_NUM_THREADS=1
venv/bin/python -W ignore - <<'PYTHON'
import copy

import timm
import torch
from timm.layers import BatchNormAct2d, convert_sync_batchnorm
from torch import nn

torch.manual_seed(0)
images = torch.randn(4, 3, 64, 64)
seen = {}
for name in ("resnet18", "mobilenetv3_small_050", "efficientnet_b0", "regnety_002", "densenet121", "resnetv2_18"):
    model = timm.create_model(name, num_classes=0).eval()
    with torch.no_grad():
        before = model(images)
        theirs = nn.SyncBatchNorm.convert_sync_batchnorm(copy.deepcopy(model))
        strict = model.load_state_dict(theirs.state_dict())
        after = [converted(images) for converted in (theirs, convert_sync_batchnorm(copy.deepcopy(model)))]
    cosines = [nn.functional.cosine_similarity(before, one).mean().item() for one in after]
    count = sum(isinstance(layer, BatchNormAct2d) for layer in model.modules())
    print(f"{name + ':':22} {cosines[0]:.3f} {cosines[1]:.3f}, {count}")
    assert cosines[1] > 0.9999 and not strict.missing_keys and not strict.unexpected_keys
    seen[name] = cosines[0], count
for cosine, count in seen.values():
    assert cosine < 0.95 if count else cosine > 0.9999
assert sum(count > 0 for _, count in seen.values()) >= 3
PYTHON
