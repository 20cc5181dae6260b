#!/usr/bin/env bash
# ptflops==0.7.5 (timm 1.0.31, torchinfo 1.8.0)
# Guess: Counters of MACs differ by conventions, such as whether a bias or an activation counts, so by a few percent; a
#   counter that knows timm's attention by name counts all of it.
# Behaviour: ptflops' hook for timm's attention stands in place of the attention's own linear layers: queries, keys, values
#   and the output projection count nothing, 4 d^2 of a block's 12 d^2 for each token. An attention of the same shape in
#   nn.MultiheadAttention is counted whole. torchinfo counts a linear layer once an image, not once a token.
# Seen:
#   ViT-B/16 at 224 px, G MACs: by hand 17.564, torch 17.564, ptflops 12.018, torchinfo 0.202
#   one attention, M MACs: by hand 524.4; ptflops counts 60.2 in timm's, 525.6 in nn.MultiheadAttention
# Why it matters: Tables of "accuracy at N GMACs" put ViTs of timm 32 % too low (ptflops) or 87 times (torchinfo) beside CNNs, which
#   both count right, and students are chosen by such tables. Check a counter on one block: 12 d^2 T + 2 T^2 d.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv venv -q venv
uv pip install -q --python venv/bin/python torch==2.15.0 torchvision==0.29.2 timm==1.0.31 ptflops==0.7.5 torchinfo==1.8.0
export OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1
venv/bin/python -W ignore - <<'PYTHON'
import timm
import torch
from ptflops import get_model_complexity_info
from timm.layers import Attention
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from torchinfo import summary

TOKENS, WIDTH = 197, 768


class Multihead(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(WIDTH, 12, batch_first=True)

    def forward(self, x):
        return self.attention(x, x, x, need_weights=False)[0]


def by_ptflops(model, *shape):
    return get_model_complexity_info(model.eval(), shape, as_strings=False, print_per_layer_stat=False)[0]


attention = 4 * WIDTH**2 * TOKENS + 2 * TOKENS**2 * WIDTH
whole = 12 * (attention + 8 * WIDTH**2 * TOKENS) + 196 * WIDTH * WIDTH + WIDTH * 1000
vit = timm.create_model("vit_base_patch16_224").eval()
with torch.no_grad(), FlopCounterMode(display=False) as counter:
    vit(torch.zeros(1, 3, 224, 224))
by_torch = counter.get_total_flops() // 2
lost = by_ptflops(vit, 3, 224, 224)
once = summary(vit, (1, 3, 224, 224), verbose=0).total_mult_adds
print(f"ViT-B/16 at 224 px, G MACs: by hand {whole / 1e9:.3f}, torch {by_torch / 1e9:.3f}, ptflops {lost / 1e9:.3f}, torchinfo {once / 1e9:.3f}")
ours, theirs = by_ptflops(Attention(WIDTH, 12, qkv_bias=True), TOKENS, WIDTH), by_ptflops(Multihead(), TOKENS, WIDTH)
print(f"one attention, M MACs: by hand {attention / 1e6:.1f}; ptflops counts {ours / 1e6:.1f} in timm's, {theirs / 1e6:.1f} in nn.MultiheadAttention")
assert by_torch == whole
assert lost < 0.7 * whole and once < 0.02 * whole
assert ours < 0.12 * attention and attention < theirs < 1.01 * attention
PYTHON
