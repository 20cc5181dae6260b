#!/usr/bin/env bash
# torchao==0.18.0 (torch 2.15.0)
# Guess: prepare_pt2e folds a batch norm into the convolution before it where this changes nothing, and inserts observers. Until
#   convert_pt2e the prepared model computes what the float model did.
# Behaviour: A batch norm is folded wherever a convolution stands before it. Whether the convolution's output is used elsewhere, too, is
#   not looked at: the shortcut of a pre-activation network gets the batch norm's output as well. Where one convolution serves two
#   batch norms, as in a head whose levels have statistics of their own, the first one is folded and the second one is dropped. Both are
#   in the prepared model already, before anything is quantized. The docstring says nothing of it; pull request 2795 is what folds one
#   set of weights only once. No issue on the shortcut was found.
# Seen (random weights, statistics of 20 batches; relative error of the outputs against the float model):
#   pre-activation block:        prepared 1.26, converted 1.26
#   shared head:                 prepared 0.87, converted 0.87
#   head with copies of weights: prepared 0.00, converted 0.01
# Why it matters: A PreActResNet or a student with a shared head loses its accuracy when it is made ready for calibration, and int8 or
#   the calibration images are blamed. Compare the prepared model with the float one. A copy of the weights for each level is folded
#   right.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv venv -q venv
uv pip install -q --python venv/bin/python torch==2.15.0 torchao==0.18.0 numpy==2.4.6
export OMP_NUM_THREADS=1
venv/bin/python -W ignore - 2>log <<'PYTHON'
import copy

import torch
from torch import nn
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
from torchao.testing.pt2e._xnnpack_quantizer import XNNPACKQuantizer, get_symmetric_quantization_config


def conv(channels, stride=1):
    return nn.Conv2d(channels, 8, 3, stride, 1)


class PreActivation(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.first, self.second = conv(3), conv(8), conv(8)
        self.norm1, self.norm2 = nn.BatchNorm2d(8), nn.BatchNorm2d(8)

    def forward(self, images):
        stem = self.stem(images)
        inner = self.first(self.norm1(stem).relu())
        return (stem + self.second(self.norm2(inner).relu()),)


class SharedHead(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.down, self.head = conv(3, 2), conv(8, 2), conv(8)
        self.norm1, self.norm2 = nn.BatchNorm2d(8), nn.BatchNorm2d(8)

    def split(self):
        self.other = copy.deepcopy(self.head)
        return self

    def forward(self, images):
        level1 = self.stem(images).relu()
        level2 = self.down(level1).relu()
        other = self.other if hasattr(self, "other") else self.head
        return self.norm1(self.head(level1)), self.norm2(other(level2))


torch.manual_seed(0)
images = torch.randn(4, 3, 32, 32)


def trained(model):
    with torch.no_grad():
        for _ in range(20):
            model(2 * torch.randn(8, 3, 32, 32))
        for norm in (model.norm1, model.norm2):
            norm.weight.uniform_(0.5, 2)
            norm.bias.normal_()
    return model.eval()


def error(model, exact):
    with torch.no_grad():
        return max(((ours - theirs).norm() / theirs.norm()).item() for ours, theirs in zip(model(images), exact))


def judge(title, model):
    with torch.no_grad():
        exact = model(images)
        quantizer = XNNPACKQuantizer().set_global(get_symmetric_quantization_config(is_per_channel=True))
        exported = torch.export.export(copy.deepcopy(model), (images,)).module()
        prepared = prepare_pt2e(exported, quantizer)
        before = error(prepared, exact)
    after = error(convert_pt2e(prepared), exact)
    print(f"{title + ':':28} prepared {before:.2f}, converted {after:.2f}", flush=True)
    return before, after


block, head = trained(PreActivation()), trained(SharedHead())
wrong = judge("pre-activation block", block) + judge("shared head", head)
right = judge("head with copies of weights", copy.deepcopy(head).split())
assert min(wrong) > 0.5 and max(right) < 0.1
PYTHON
