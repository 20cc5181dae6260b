#!/usr/bin/env bash
# onnx2torch==1.5.15 (onnx 1.23.2, torch 2.15.0)
# Guess: convert("student.onnx") computes what the ONNX file computes, which has no training mode: its batch norms use the statistics
#   that it stores.
# Behaviour: The model that comes back is in training mode, as each new GraphModule is. Its batch norms normalize by batch and move their
#   statistics, so that eval() afterwards is off, too. The README's example compares it with ONNX Runtime, without eval(). Networks
#   whose batch norms were folded into convolutions have none left. No documentation or issue on it was found.
# Seen (DenseNet-121 with random weights and statistics; mean cosine of 8 images' embeddings with those of ONNX Runtime):
#   as converted:                          0.529
#   the same, 4 images at a time:          0.535
#   eval() after these three passes:       0.997
#   eval() before the first pass:          1.000
# Why it matters: Embeddings of a student that arrives as ONNX depend on the batch, and its statistics drift with the images that it is
#   evaluated on. Call convert(path).eval().
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv venv -q venv
uv pip install -q --python venv/bin/python torch==2.15.0 torchvision==0.29.2 numpy==2.4.6 onnx==1.23.2 onnxruntime==1.32.0 onnx2torch==1.5.15
export OMP_NUM_THREADS=1
venv/bin/python -W ignore - 2>log <<'PYTHON'
import onnxruntime
import torch
import torchvision
from onnx2torch import convert
from torch import nn

torch.manual_seed(0)
model = torchvision.models.densenet121()
model.classifier = nn.Identity()
for layer in model.modules():
    if isinstance(layer, nn.BatchNorm2d):
        layer.running_mean.normal_(0, 0.1)
        layer.running_var.uniform_(0.5, 1.5)
images = torch.randn(8, 3, 64, 64)
axes = {"pixels": {0: "batch"}, "embeddings": {0: "batch"}}
names = {"input_names": ["pixels"], "output_names": ["embeddings"], "dynamic_axes": axes}
torch.onnx.export(model.eval(), (images,), "student.onnx", opset_version=17, dynamo=False, **names)
given = torch.from_numpy(onnxruntime.InferenceSession("student.onnx").run(None, {"pixels": images.numpy()})[0])


def compare(title, embeddings):
    cosine = torch.cosine_similarity(embeddings, given).mean().item()
    print(f"{title + ':':38} {cosine:.3f}")
    return cosine


with torch.no_grad():
    assert torch.allclose(model(images), given, atol=1e-4)
    student = convert("student.onnx")
    assert student.training
    whole = compare("as converted", student(images))
    halves = compare("the same, 4 images at a time", torch.cat([student(images[:4]), student(images[4:])]))
    late = compare("eval() after these three passes", student.eval()(images))
    early = compare("eval() before the first pass", convert("student.onnx").eval()(images))
assert max(whole, halves) < 0.9 < late < 0.9999 < early and abs(whole - halves) > 1e-4
PYTHON
