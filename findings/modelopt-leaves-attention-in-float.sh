#!/usr/bin/env bash
# nvidia-modelopt==0.47.0 (torch 2.15.0, timm 1.0.31, open_clip 3.3.0)
# Guess: mtq.quantize(model, mtq.INT8_DEFAULT_CFG, calibrate) quantizes each convolution and linear layer. Where it cannot, it raises,
#   as it does for a model without any quantized layer.
# Behaviour: Quantizers work where a module's own forward runs and is the one of nn.Conv2d or nn.Linear. nn.MultiheadAttention, of which
#   open_clip's and torchvision's ViTs are made, passes weights to a function: its output projection gets quantizers that never run,
#   its input projection none. Subclasses with another forward, as timm's StdConv2d, ScaledStdConv2d and Conv2dSame, are passed over.
#   One quantizer anywhere satisfies the check, and the quantizers that never run are counted and listed as the others. No
#   documentation or issue on it was found.
# Seen (random weights; layers whose weight quantizer ran, of all convolutions, linear layers and attentions' input projections, and
#   their share of these layers' weights):
#   nn.MultiheadAttention:            0 of  2 layers,   0.0 % of the weights; 3 quantizers inserted
#   open_clip's ViT-B-32:            25 of 49 layers,  67.6 % of the weights; 111 quantizers inserted
#   timm's vit_small_patch32_224:    50 of 50 layers, 100.0 % of the weights; 150 quantizers inserted
#   timm's resnetv2_50x1_bit:         1 of 54 layers,   0.1 % of the weights; 7 quantizers inserted
#   timm's nfnet_l0:                 25 of 82 layers,  33.4 % of the weights; 83 quantizers inserted
# Why it matters: The accuracy of an "int8" CLIP tower or BiT is that of the float model, or nearly, and is compared with students that
#   are quantized in full; its size and speed are those of float, too. Count the layers whose quantizers have an amax after calibration.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv venv -q venv
uv pip install -q --python venv/bin/python torch==2.15.0 torchvision==0.29.2 numpy==2.4.6 timm==1.0.31 open_clip_torch==3.3.0 nvidia-modelopt==0.47.0 requests==2.34.2
export OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1
venv/bin/python -W ignore - 2>log <<'PYTHON'
import contextlib
import io

import modelopt.torch.quantization as mtq
import open_clip
import timm
import torch
from torch import nn

torch.manual_seed(0)
pixels = torch.randn(2, 3, 224, 224)


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(64, 4, batch_first=True)

    def forward(self, tokens):
        return self.attention(tokens, tokens, tokens, need_weights=False)[0]


@torch.no_grad()
def quantize(title, model, given):
    """The layers that compute with quantized weights, all of them, and the quantizers that are there."""
    before = model.eval()(given)
    with contextlib.redirect_stdout(io.StringIO()):
        model = mtq.quantize(model, mtq.INT8_DEFAULT_CFG, lambda model: model(given))
    ran, weights = set(), {}
    for name, layer in model.named_modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            weights[name] = layer.weight.numel()
            if hasattr(layer, "weight_quantizer"):
                assert layer.weight_quantizer.is_enabled
                layer.weight_quantizer.register_forward_hook(lambda *call, name=name: ran.add(name))
        elif isinstance(layer, nn.MultiheadAttention):
            weights[f"{name}.in_proj"] = layer.in_proj_weight.numel()
    after = model(given)
    inserted = sum(name.endswith("_quantizer") for name, _ in model.named_modules())
    share = sum(weights[name] for name in ran) / sum(weights.values())
    print(f"{title + ':':31} {len(ran):3} of {len(weights):2} layers, {share:6.1%} of the weights; {inserted} quantizers inserted".replace("%", " %"))
    return len(ran), len(weights), inserted, torch.equal(before, after)


attention = quantize("nn.MultiheadAttention", Block(), torch.randn(2, 9, 64))
clip = quantize("open_clip's ViT-B-32", open_clip.create_model("ViT-B-32", pretrained=None).visual, pixels)
vit, bit, nfnet = (quantize(f"timm's {name}", timm.create_model(name, num_classes=10), pixels) for name in ("vit_small_patch32_224", "resnetv2_50x1_bit", "nfnet_l0"))
assert attention == (0, 2, 3, True)
assert vit[0] == vit[1] and clip[0] == 25 and clip[1] == 49
assert bit[0] == 1 and bit[1] > 50 and nfnet[0] < nfnet[1] / 2
PYTHON
