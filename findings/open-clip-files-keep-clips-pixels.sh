#!/usr/bin/env bash
# open_clip_torch==3.3.0
# Guess: create_model_and_transforms("ViT-B-16-SigLIP", pretrained=X) returns the preprocessing of SigLIP, whether X is the
#   tag "webli" or a file with those weights.
# Behaviour: The preprocessing belongs to the tag, not to the model. With a file it is CLIP's: another mean and deviation,
#   and the short side resized and the middle cut out where SigLIP squashes the whole picture. No warning.
# Seen:
#   tag webli: mean (0.5, 0.5, 0.5), std (0.5, 0.5, 0.5), squash
#   a file:    mean (0.48145466, 0.4578275, 0.40821073), std (0.26862954, 0.26130258, 0.27577711), shortest; 0 warnings, 0 log records from WARNING on
#   MobileCLIP-S1: (0.0, 0.0, 0.0) by its tag, (0.48145466, 0.4578275, 0.40821073) with a file
# Why it matters: On machines without network, and with fine-tuned weights, a teacher sees contrasts 1.9 times as strong and, of a
#   wide picture, the middle alone. Its features are worse and plausible. Pass image_mean, image_std, image_resize_mode
#   and image_interpolation of open_clip.get_pretrained_cfg(model, tag).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv venv -q venv
uv pip install -q --python venv/bin/python torch==2.15.0 torchvision==0.29.2 timm==1.0.31 open_clip_torch==3.3.0
export OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1
venv/bin/python - <<'PYTHON'
import logging
import warnings

import open_clip
import torch


class Kept(logging.Handler):
    records: list = []

    def emit(self, record):
        self.records.append(record)


def with_file(name):
    """Preprocessing, warnings and log records of a model that is loaded from a file."""
    torch.save(open_clip.create_model(name, pretrained=None).state_dict(), "weights.pt")
    Kept.records.clear()
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        model, _, _ = open_clip.create_model_and_transforms(name, pretrained="weights.pt")
    return model.visual.preprocess_cfg, len(warned), len(Kept.records)


logging.getLogger().addHandler(Kept(logging.WARNING))
tag = open_clip.get_pretrained_cfg("ViT-B-16-SigLIP", "webli")
facts, warned, records = with_file("ViT-B-16-SigLIP")
print(f"tag webli: mean {tuple(tag['mean'])}, std {tuple(tag['std'])}, {tag['resize_mode']}")
print(f"a file:    mean {facts['mean']}, std {facts['std']}, {facts['resize_mode']}; {warned} warnings, {records} log records from WARNING on")
other = open_clip.get_pretrained_cfg("MobileCLIP-S1", "datacompdr")
mobile = with_file("MobileCLIP-S1")[0]
print(f"MobileCLIP-S1: {tuple(other['mean'])} by its tag, {mobile['mean']} with a file")
assert tuple(tag["mean"]) == (0.5, 0.5, 0.5) and tag["resize_mode"] == "squash"
assert facts["mean"] == mobile["mean"] == open_clip.OPENAI_DATASET_MEAN and facts["resize_mode"] == "shortest"
assert tuple(other["mean"]) == (0.0, 0.0, 0.0)
assert warned == records == 0
PYTHON
