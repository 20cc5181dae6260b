#!/usr/bin/env bash
# brevitas==0.13.4 (torch 2.15.0)
# Guess: preprocess_for_quantize, which the examples of post-training quantization call first, folds batch norms and returns the same
#   function.
# Behaviour: By default it puts a ReLU in the place of each ReLU6, in calls of torch.nn.functional too. Where ReLU6 is the activation, what
#   it cut off comes back, as is known of equalization. Where it is part of a hard swish or hard sigmoid that is written out, as in many
#   MobileNetV3 that are older than nn.Hardswish, the gate has no upper end and x * relu6(x + 3) / 6 becomes a parabola. nn.Hardswish
#   is left alone. relu6_to_relu=True in the signature is the only word of it; no issue on the gates was found.
# Seen (three convolutions with trained statistics and random scales; relative error of the outputs before anything is quantized):
#   hard swish of nn.ReLU6:                          3.182
#   hard swish of functional.relu6:                  3.182
#   nn.ReLU6:                                        0.087
#   nn.Hardswish:                                    0.000
#   hard swish of nn.ReLU6, relu6_to_relu=False:     0.000
# Why it matters: The student is another function before the first bit is dropped, and the loss of accuracy is put down to the number
#   of bits. Pass relu6_to_relu=False; what this costs is that layers around a ReLU6 are not equalized.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv venv -q venv
uv pip install -q --python venv/bin/python torch==2.15.0 numpy==2.4.6 brevitas==0.13.4 "setuptools<81"
export OMP_NUM_THREADS=1
venv/bin/python -W ignore - 2>log <<'PYTHON'
import copy

import torch
from brevitas.graph.quantize import preprocess_for_quantize
from torch import nn
from torch.nn.functional import relu6


class Written(nn.Module):
    def forward(self, images):
        return images * relu6(images + 3) / 6


class Gate(nn.Module):
    def __init__(self):
        super().__init__()
        self.cut = nn.ReLU6()

    def forward(self, images):
        return images * self.cut(images + 3) / 6


def network(activation):
    torch.manual_seed(0)
    layers = []
    for given, width in ((3, 16), (16, 32), (32, 64)):
        layers += [nn.Conv2d(given, width, 3, 2, 1), nn.BatchNorm2d(width), activation()]
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))
    with torch.no_grad():
        for norm in model.modules():
            if isinstance(norm, nn.BatchNorm2d):
                norm.weight.uniform_(0.5, 3)
                norm.bias.normal_()
        for _ in range(30):
            model(torch.randn(32, 3, 32, 32))
    return model.eval()


def judge(title, activation, **settings):
    model, images = network(activation), torch.randn(8, 3, 32, 32)
    with torch.no_grad():
        exact = model(images)
        value = ((preprocess_for_quantize(copy.deepcopy(model), **settings)(images) - exact).norm() / exact.norm()).item()
    print(f"{title + ':':48} {value:.3f}")
    return value


wrong = [judge("hard swish of nn.ReLU6", Gate), judge("hard swish of functional.relu6", Written), judge("nn.ReLU6", nn.ReLU6)]
right = [judge("nn.Hardswish", nn.Hardswish), judge("hard swish of nn.ReLU6, relu6_to_relu=False", Gate, relu6_to_relu=False)]
assert min(wrong[:2]) > 0.2 and wrong[2] > 1e-3 and max(right) < 1e-4
PYTHON
