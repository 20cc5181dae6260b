#!/usr/bin/env bash
# peft==0.21.2 (torch 2.15.0, timm 1.0.31)
# Guess: merge_and_unload returns a model that computes what the adapted model computes; where it cannot, it raises, as it does for
#   grouped convolutions and for parametrized layers.
# Behaviour: The adapter's product is added to layer.weight, whatever the layer does with it. A layer with nn.utils.weight_norm, as
#   DINO's and DINOv2's heads have it, or spectral_norm computes its weight anew in the next forward: the adapter is gone. timm's
#   StdConv2d standardises the sum. The adapter of a convolution that pads by wrapping or reflecting pads with zeros itself. Neither
#   safe_merge nor a warning says so; no documentation or issue on it was found.
# Seen (layers with a random adapter of rank 4; relative distance of the merged one's output from the two others'):
#   Linear:                        0.000 from the adapted, 0.389 from the bare layer
#   Conv2d:                        0.000 from the adapted, 0.441 from the bare layer
#   Linear with weight_norm:       0.257 from the adapted, 0.000 from the bare layer
#   Linear with spectral_norm:     0.019 from the adapted, 0.000 from the bare layer
#   timm's StdConv2d:              0.895 from the adapted, 0.387 from the bare layer
#   timm's ScaledStdConv2d:        0.402 from the adapted, 0.338 from the bare layer
#   Conv2d, padding_mode=circular: 0.099 from the adapted, 0.365 from the bare layer
# Why it matters: A teacher or student that was adapted with LoRA is validated with its adapter, and exported without it or with another
#   one. Compare the outputs before and after; leave such layers out of target_modules, or remove the norm first.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv venv -q venv
uv pip install -q --python venv/bin/python torch==2.15.0 torchvision==0.29.2 numpy==2.4.6 timm==1.0.31 transformers==5.24.0 peft==0.21.2
export OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1
venv/bin/python -W ignore - 2>log <<'PYTHON'
import torch
from peft import LoraConfig, get_peft_model
from timm.layers import ScaledStdConv2d, StdConv2d
from torch import nn

torch.manual_seed(0)
images, tokens = torch.randn(8, 16, 16, 16), torch.randn(64, 32)
config = LoraConfig(r=4, lora_alpha=8, target_modules=["0"])


@torch.no_grad()
def merge(title, layer, given):
    """Relative distances of the merged layer's output from the adapted one's and from the bare one's."""
    bare = layer(given)
    model = get_peft_model(nn.Sequential(layer), config).eval()
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            parameter.normal_(0, 0.1)
    adapted = model(given)
    assert (adapted - bare).norm() > 0.01 * bare.norm()
    merged = model.merge_and_unload(safe_merge=True)(given)
    seen = [((merged - other).norm() / other.norm()).item() for other in (adapted, bare)]
    print(f"{title + ':':30} {seen[0]:.3f} from the adapted, {seen[1]:.3f} from the bare layer")
    return seen


whole = [merge("Linear", nn.Linear(32, 16), tokens), merge("Conv2d", nn.Conv2d(16, 16, 3, padding=1), images)]
lost = [
    merge("Linear with weight_norm", nn.utils.weight_norm(nn.Linear(32, 16)), tokens),
    merge("Linear with spectral_norm", nn.utils.spectral_norm(nn.Linear(32, 16)).eval(), tokens),
]
other = [
    merge("timm's StdConv2d", StdConv2d(16, 16, 3, padding=1), images),
    merge("timm's ScaledStdConv2d", ScaledStdConv2d(16, 16, 3, padding=1), images),
    merge("Conv2d, padding_mode=circular", nn.Conv2d(16, 16, 3, padding=1, padding_mode="circular"), images),
]
assert all(adapted < 1e-5 < 0.01 < bare for adapted, bare in whole)
assert all(bare < 1e-6 < 0.01 < adapted for adapted, bare in lost)
assert all(min(pair) > 0.05 for pair in other)
PYTHON
