#!/usr/bin/env bash
# lightly==1.6.0 (timm 1.0.31)
# Guess: MaskedVisionTransformerTIMM(vit) adds masking to the ViT that it is given: without a mask it computes what the ViT does,
#   and weight_initialization="skip" makes sure of that.
# Behaviour: It draws all weights of the given ViT anew, in place: the object outside is random, too. With "skip" the positions
#   alone are replaced, by fixed sines, until pos_embed_initialization="skip" is asked for as well. Nothing is logged.
# Seen (a ViT-Tiny that stands for a trained one; cosine of its class token with that of before, mean of 64 images):
#   as wrapped:                       tensors changed 149 of 150, cosine -0.01
#   weight_initialization="skip":     tensors changed 1 of 150, cosine 0.75
#   pos_embed_initialization="skip":  tensors changed 148 of 150, cosine 0.02
#   both:                             tensors changed 0 of 150, cosine 1.00
# Why it matters: Masked distillation from a pretrained ViT, as teacher or as the student's start, runs with a random one, or with the
#   positions of another model, and is reported as from pretrained weights. Ask for both, and compare a tensor afterwards.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv venv -q venv
uv pip install -q --python venv/bin/python torch==2.15.0 torchvision==0.29.2 timm==1.0.31 lightly==1.6.0
export OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1
venv/bin/python -W ignore - <<'PYTHON'
import timm
import torch
from lightly.models.modules import MaskedVisionTransformerTIMM

torch.manual_seed(0)
images = torch.randn(64, 3, 64, 64)
SKIP = {"weight_initialization": "skip"}, {"pos_embed_initialization": "skip"}


def vit():
    """A ViT none of whose tensors is what an initialisation gives."""
    torch.manual_seed(1)
    model = timm.create_model("vit_tiny_patch16_224", img_size=64, num_classes=0).eval()
    with torch.no_grad():
        for value in model.parameters():
            value.add_(0.05 * torch.randn_like(value))
    return model


def tokens(model):
    with torch.no_grad():
        return model(images)


for title, options in (("as wrapped", {}), ('weight_initialization="skip"', SKIP[0]), ('pos_embed_initialization="skip"', SKIP[1]), ("both", SKIP[0] | SKIP[1])):
    given, before = vit(), vit()
    wrapped = MaskedVisionTransformerTIMM(given, **options).eval()
    changed = [name for name, value in given.state_dict().items() if not torch.equal(value, before.state_dict()[name])]
    cosine = torch.cosine_similarity(tokens(wrapped), tokens(before)).mean().item()
    print(f"{title + ':':33} tensors changed {len(changed)} of {len(before.state_dict())}, cosine {cosine:.2f}")
    if title == "both":
        assert not changed and cosine > 0.9999
    elif "weight" in title:
        assert changed == ["pos_embed"] and cosine < 0.9
    else:
        assert len(changed) > 100 and cosine < 0.5
PYTHON
