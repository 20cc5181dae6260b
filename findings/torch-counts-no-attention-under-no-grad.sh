#!/usr/bin/env bash
# torch==2.15.0 (torchvision 0.29.2)
# Guess: FlopCounterMode counts the operations of a model's forward pass; whether gradients are recorded does not change them.
# Behaviour: In eval mode under no_grad nn.MultiheadAttention and nn.TransformerEncoderLayer run as one fused operation, for which the
#   counter has no formula: it counts 0. Nothing is said, and the counter's documentation does not name it.
#   ptflops has an issue of the same cause; none of torch on it was found.
# Seen (multiply-adds in G; a third of a ViT-B/16 is missing):
#   vit_b_16, eval, with gradients:             17.564
#   vit_b_16, eval, no_grad:                    11.271
#   vit_b_16, eval, no_grad, fast path off:     17.564
#   TransformerEncoder, 3 layers, train:         0.005
#   TransformerEncoder, 3 layers, eval, no_grad:  0.000
# Why it matters: The natural way to count (eval mode, no_grad) gives torchvision's ViTs and CLIP's towers a third less than timm's,
#   whose attention is written out: a student looks cheaper by the library it comes from. Turn the fast path off, or keep gradients.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv venv -q venv
uv pip install -q --python venv/bin/python torch==2.15.0 torchvision==0.29.2
export OMP_NUM_THREADS=1
venv/bin/python -W ignore - <<'PYTHON'
import torch
import torchvision
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

torch.manual_seed(0)
vit = torchvision.models.vit_b_16()
encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(64, 4, 256, batch_first=True, norm_first=True), 3, enable_nested_tensor=False)
image, tokens = torch.randn(1, 3, 224, 224), torch.randn(2, 17, 64)


def count(title, model, given, gradients, training=False, fast=True):
    torch.backends.mha.set_fastpath_enabled(fast)
    model.train(training)
    with torch.set_grad_enabled(gradients), FlopCounterMode(display=False) as counter:
        model(given)
    value = counter.get_total_flops() / 2e9
    print(f"{title + ':':43} {value:6.3f}")
    return value


# By hand: patches, then 12 layers of 197 tokens (queries, keys, values and output; two products; 3,072 wide MLP), then the head.
layer = 197 * 768 * (4 * 768 + 2 * 197 + 2 * 3072)
by_hand = (196 * 768 * 768 + 12 * layer + 768 * 1000) / 1e9
whole = count("vit_b_16, eval, with gradients", vit, image, True)
missing = count("vit_b_16, eval, no_grad", vit, image, False)
off = count("vit_b_16, eval, no_grad, fast path off", vit, image, False, fast=False)
assert abs(whole - by_hand) < 0.01 and off == whole and missing < 0.65 * whole
trained = count("TransformerEncoder, 3 layers, train", encoder, tokens, True, training=True)
assert trained > 0 == count("TransformerEncoder, 3 layers, eval, no_grad", encoder, tokens, False)
PYTHON
