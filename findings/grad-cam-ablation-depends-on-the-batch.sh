#!/usr/bin/env bash
# grad-cam==1.5.7 (torch 2.15.0)
# Guess: AblationCAM sets one channel at a time to zero, or to a very low value where activations can be negative. batch_size, which can be
#   set "for faster computation", is a matter of speed.
# Behaviour: Where the lowest activation is not 0, the n-th channel of a batch is set to n times -10,000,000: each takes the lowest value of
#   the whole batch, the channel before it included, and subtracts once more. Weights grow with a channel's place in its batch, up to 32
#   times by default. After a ReLU all is well. No documentation or issue on it was found.
# Seen (one network with each activation; correlation of its maps with those of batch_size=1, and images of 16 with another brightest pixel):
#   ReLU:        batch_size=8: 1.00, 0   32: 1.00, 0   64: 1.00, 0
#   SiLU:        batch_size=8: 0.86, 11   32: 0.83, 11   64: 0.82, 8
#   GELU:        batch_size=8: 0.85, 9   32: 0.84, 9   64: 0.82, 6
#   Hardswish:   batch_size=8: 0.86, 10   32: 0.83, 9   64: 0.82, 12
# Why it matters: Maps of a student with SiLU, GELU or hard swish (EfficientNet, ConvNeXt, MobileNetV3, ViT) tell the order of its channels, and
#   differ from its teacher's for that reason alone. Set batch_size to 1 on the object, or use another method.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv venv -q venv
uv pip install -q --python venv/bin/python torch==2.15.0 torchvision==0.29.2 numpy==2.4.6 grad-cam==1.5.7
export OMP_NUM_THREADS=1
venv/bin/python -W ignore - 2>log <<'PYTHON'
import numpy as np
import torch
from pytorch_grad_cam import AblationCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import nn

images = torch.randn(16, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def maps(activation, size):
    torch.manual_seed(0)
    layers = nn.Conv2d(3, 32, 3, padding=1), activation(), nn.Conv2d(32, 64, 3, stride=4, padding=1), activation()
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10)).eval()
    with AblationCAM(model, [layers[-1]]) as method:
        method.batch_size = size
        return method(images, [ClassifierOutputTarget(index % 10) for index in range(len(images))])


for activation in (nn.ReLU, nn.SiLU, nn.GELU, nn.Hardswish):
    alone = maps(activation, 1)
    row = []
    for size in (8, 32, 64):
        found = maps(activation, size)
        correlation = np.corrcoef(alone.ravel(), found.ravel())[0, 1]
        moved = sum(one.argmax() != two.argmax() for one, two in zip(alone, found, strict=True))
        row.append((correlation, moved))
    text = "   ".join(f"{size}: {correlation:.2f}, {moved}" for size, (correlation, moved) in zip((8, 32, 64), row, strict=True))
    print(f"{activation.__name__ + ':':12} batch_size={text}")
    if activation is nn.ReLU:
        assert all(correlation > 0.9999 and moved == 0 for correlation, moved in row)
    else:
        assert all(correlation < 0.95 and moved > 0 for correlation, moved in row)
PYTHON
