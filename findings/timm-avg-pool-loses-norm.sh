#!/usr/bin/env bash
# timm==1.0.31
# Guess: create_model(name, pretrained=True, num_classes=0, global_pool="avg") is the pretrained ViT, pooled by the
#   mean of its tokens; the same as reset_classifier(0, "avg") after loading.
# Behaviour: global_pool="avg" moves the last norm behind the pooling: the model has a new fc_norm that keeps its
#   initial 1 and 0, the trained norm.weight and norm.bias are dropped as unexpected (a warning in the log, "may be
#   expected"), and forward_features returns tokens without any last norm. reset_classifier keeps the trained norm.
# Seen:
#   WARNING Unexpected keys (norm.weight, norm.bias) found while loading pretrained weights. This may be expected if model is being adapted.
#   create_model, then reset_classifier(0, "avg"): last norm is norm, weights [1.75, 0.56, 0.51]
#   create_model(num_classes=0, global_pool="avg"): last norm is fc_norm, weights [1.0, 1.0, 1.0]
#   trained weights [1.75, 0.56, 0.51]
#   cosine of the two pooled features 0.264, of the two forward_features 0.792
# Why it matters: Mean-pooled ViT teachers are common in distillation, and both calls look alike. The one that
#   create_model gives (here of a random ViT whose last norm was altered, as training does) is another teacher,
#   partly untrained, and its tokens are another target too. Load first, then reset; or refuse a checkpoint with
#   keys left over.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv venv -q venv
uv pip install -q --python venv/bin/python torch==2.15.0 torchvision==0.29.2 timm==1.0.31
export OMP_NUM_THREADS=1
venv/bin/python -W ignore - <<'PYTHON'
import logging
import pathlib

import timm
import torch
from torch.nn.functional import cosine_similarity

NAME = "vit_tiny_patch16_224"
logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
torch.manual_seed(0)
trained = timm.create_model(NAME)  # pools the class token
with torch.no_grad():
    for name, value in trained.named_parameters():
        if name.startswith("norm."):  # the last norm, as training would leave it
            value.add_(0.5 * torch.randn_like(value))
file = pathlib.Path("trained.pth").resolve()
torch.save(trained.state_dict(), file)


def load(**options):
    return timm.create_model(NAME, pretrained=True, pretrained_cfg_overlay={"file": str(file)}, **options).eval()


ways = {"create_model, then reset_classifier(0, \"avg\")": load(), "create_model(num_classes=0, global_pool=\"avg\")": load(num_classes=0, global_pool="avg")}
first, second = ways.values()
first.reset_classifier(0, "avg")
images = torch.randn(4, 3, 224, 224)
with torch.no_grad():
    for name, model in ways.items():
        last = [part for part in ("norm", "fc_norm") if getattr(model, part) is not None and hasattr(getattr(model, part), "weight")]
        weight = getattr(model, last[0]).weight
        print(f"{name}: last norm is {last[0]}, weights {[round(value, 2) for value in weight[:3].tolist()]}")
    pooled = cosine_similarity(first(images), second(images)).mean().item()
    tokens = cosine_similarity(first.forward_features(images), second.forward_features(images), dim=-1).mean().item()
    by_hand = trained.eval().forward_features(images)[:, 1:].mean(dim=1)
print(f"trained weights {[round(value, 2) for value in trained.norm.weight[:3].tolist()]}")
print(f"cosine of the two pooled features {pooled:.3f}, of the two forward_features {tokens:.3f}")

assert torch.allclose(first(images), by_hand, atol=1e-4)
assert pooled < 0.9 and tokens < 0.95
assert (second.fc_norm.weight == 1).all() and (second.fc_norm.bias == 0).all()
PYTHON
