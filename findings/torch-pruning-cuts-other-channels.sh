#!/usr/bin/env bash
# torch-pruning==1.6.1 (torch 2.15.0, timm 1.0.31)
# Guess: A channel that is all zeros, with everything that belongs to it, has the smallest magnitude: pruning a quarter of the channels
#   takes these away, and the outputs stay as they were. What one layer loses fits what the layers beside it lose.
# Behaviour: A reshape is taken for one that lays each channel's values side by side. Where it splits the channels into paths instead,
#   as view(batch, paths, channels) does in selective-kernel attention (SKNet, timm's skresnet), row i of the attention is matched
#   with channel i // paths, where it belongs to channel i % channels. Importances are added up over wrong rows, other channels are
#   cut, twice as many as asked for, and the attention of those that stay comes from other channels. All shapes fit; nothing is
#   logged. No documentation or issue on it was found.
# Seen (two modules of timm with 32 channels, 8 of them zero; BasePruner by magnitude, pruning_ratio=0.25):
#   squeeze-and-excitation: 8 channels cut, 8 of them zero; outputs change by 0.000
#   selective kernel:       16 channels cut, 4 of them zero; outputs change by 0.399
# Why it matters: A student that is pruned before it is distilled starts from a damaged network, and the benchmark of its pruning ratio
#   is of twice that ratio. Whoever fine-tunes afterwards sees only that it recovers slowly. Put such layers into ignored_layers, and
#   prune dead channels as a test.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv venv -q venv
uv pip install -q --python venv/bin/python torch==2.15.0 torchvision==0.29.2 numpy==2.4.6 timm==1.0.31 torch-pruning==1.6.1
export OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1
venv/bin/python -W ignore - 2>log <<'PYTHON'
import torch
import torch_pruning
from timm.layers import ConvNormAct, SelectiveKernel, SEModule
from torch import nn

CHANNELS, DEAD = 32, [1, 6, 8, 13, 17, 22, 28, 31]
torch.manual_seed(0)
images = torch.randn(4, 3, 32, 32)


@torch.no_grad()
def prune(title, block, own, attention, paths, kept):
    """How many channels are cut, how many of these were zero, and the relative change of the outputs."""
    model = nn.Sequential(nn.Conv2d(3, 16, 3), block, nn.Conv2d(CHANNELS, 10, 1)).eval()
    for layer in own:
        if isinstance(layer, nn.BatchNorm2d):
            layer.weight.uniform_(0.5, 1.5)
            layer.bias.normal_(0, 0.3)
            layer.bias[DEAD] = 0
        layer.weight[DEAD] = 0
    attention.weight.mul_(4)
    for path in range(paths):
        attention.weight[[path * CHANNELS + channel for channel in DEAD]] = 0
    if attention.bias is not None:
        attention.bias[DEAD] = 0
    model[2].weight[:, DEAD] = 0

    before, columns = model(images), model[2].weight.flatten(1).T.clone()
    importance = torch_pruning.importance.MagnitudeImportance(p=2)
    ignored = [model[0], model[2], kept]
    with torch.enable_grad():
        torch_pruning.pruner.BasePruner(model, images, importance=importance, pruning_ratio=0.25, ignored_layers=ignored).step()
    left = model[2].weight.flatten(1).T
    cut, zeros = len(columns) - len(left), len(DEAD) - (left == 0).all(1).sum().item()
    assert (columns == 0).all(1).sum() == len(DEAD)
    change = ((model(images) - before).norm() / before.norm()).item()
    print(f"{title + ':':23} {cut} channels cut, {zeros} of them zero; outputs change by {change:.3f}")
    return cut, zeros, change


conv, squeeze = ConvNormAct(16, CHANNELS, 3), SEModule(CHANNELS)
excitation = prune("squeeze-and-excitation", nn.Sequential(conv, squeeze), [conv.conv, conv.bn], squeeze.fc2, 1, squeeze.fc1)
kernel = SelectiveKernel(16, CHANNELS)
own = [layer for path in kernel.paths for layer in (path.conv, path.bn)]
selective = prune("selective kernel", kernel, own, kernel.attn.fc_select, 2, kernel.attn.fc_reduce)
assert excitation[:2] == (8, 8) and excitation[2] < 1e-5
assert selective[0] == 16 and selective[1] < 8 and selective[2] > 0.2
PYTHON
