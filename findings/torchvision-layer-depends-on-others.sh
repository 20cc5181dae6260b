#!/usr/bin/env bash
# torchvision==0.29.2 (torch 2.15.0)
# Guess: A layer named to create_feature_extractor, or with a forward hook, gives that layer's output, whatever else
#   is asked for.
# Behaviour: layer1.0.bn1 is the batch norm's output if asked for alone, but its ReLU if layer4 is asked for too:
#   the in-place ReLU behind it overwrites the returned tensor, and without a later layer that ReLU is removed as
#   dead code. add is likewise the sum or the block's output. A hook on bn2 gives the output of the whole block,
#   because of the in-place addition, where the extractor gives bn2's.
# Seen:
#   layer1.0.bn1: extracted alone: bn1, extracted with layer4: relu(bn1), forward hook: relu(bn1)
#   layer1.0.bn2: extracted alone: bn2, extracted with layer4: bn2, forward hook: block
#   layer1.0.add: extracted alone: sum, extracted with layer4: block
#   smallest value of layer1.0.bn1: alone -2.14, with layer4 0.00
# Why it matters: Losses on features before the ReLU (overhaul distillation, FSP, hints) get features after it, and
#   adding a second layer to the loss changes what the first one means; hooks and extractor disagree about one name.
#   Clone in the hook, extract the extractor's layers one by one, and look for negative values.
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
from torchvision.models.feature_extraction import create_feature_extractor

torch.manual_seed(0)
model = torchvision.models.resnet18(weights=None).eval()
images = torch.randn(2, 3, 64, 64)
block = model.layer1[0]
with torch.no_grad():
    stem = model.maxpool(model.relu(model.bn1(model.conv1(images)))).clone()
    first = block.bn1(block.conv1(stem)).clone()
    second = block.bn2(block.conv2(first.relu())).clone()
    total = second + stem
true = {"bn1": first, "relu(bn1)": first.relu(), "bn2": second, "sum": total, "block": total.relu()}


def is_what(value):
    return next((name for name, other in true.items() if torch.allclose(value, other, atol=1e-5)), "something else")


def extracted(*names):
    with torch.no_grad():
        return create_feature_extractor(model, list(names))(images)


def hooked(name):
    seen = []
    hook = getattr(block, name).register_forward_hook(lambda _, inputs, output: seen.append(output))
    with torch.no_grad():
        model(images)
    hook.remove()
    return seen[0]


seen = {}
for name in ("bn1", "bn2", "add"):
    node = f"layer1.0.{name}"
    seen[name] = [is_what(extracted(node)[node]), is_what(extracted(node, "layer4")[node])]
    if name != "add":
        seen[name].append(is_what(hooked(name)))
    told = ["extracted alone", "extracted with layer4", "forward hook"]
    print(f"{node}: " + ", ".join(f"{how}: {what}" for how, what in zip(told, seen[name])))
print(f"smallest value of layer1.0.bn1: alone {extracted('layer1.0.bn1')['layer1.0.bn1'].min():.2f}, with layer4 {extracted('layer1.0.bn1', 'layer4')['layer1.0.bn1'].min():.2f}")

assert seen == {
    "bn1": ["bn1", "relu(bn1)", "relu(bn1)"],
    "bn2": ["bn2", "bn2", "block"],
    "add": ["sum", "block"],
}
PYTHON
