#!/usr/bin/env bash
# mmrazor==1.0.0 (torch 2.15.0)
# Guess: DKDLoss(reduction="mean") is a mean, as its docstring says and as it is for KLDivergence of the same package: the loss does not
#   grow with the batch.
# Behaviour: The option is checked and passed on, beside size_average=False, which overrides it in torch.nn.functional.kl_div: "mean" and
#   "none" are the sum over images and classes. "batchmean", the default, comes out right, since kl_div divides by the images afterwards.
#   The package's own configuration for ImageNet sets "mean". torch warns once that size_average is deprecated, not that anything is
#   ignored; the documentation does not mention it, and no issue on it was found.
# Seen (random logits of 100 classes; the loss with "batchmean", "mean" and "none", KLDivergence with "mean"; the gradient of DKDLoss with
#   "mean" over that of the cross entropy with the labels):
#     1 images:    1.34    1.34    1.34; KLDivergence 0.013; gradient   0.3
#    16 images:    2.08   33.22   33.22; KLDivergence 0.021; gradient   5.7
#    64 images:    2.35  150.26  150.26; KLDivergence 0.023; gradient  27.2
#   256 images:    2.16  552.63  552.63; KLDivergence 0.021; gradient  93.1
# Why it matters: With "mean", which sounds like the smaller loss, the teacher weighs as many times more as the batch has images. A recipe that
#   is moved to another batch size, or spread over several GPUs, distils with another weight, and a comparison of DKD with soft
#   targets under one reduction is one of weights. Leave the default.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv venv -q venv
uv pip install -q --python venv/bin/python torch==2.15.0 numpy==2.4.6 mmengine==0.10.7
uv pip install -q --python venv/bin/python --no-deps mmrazor==1.0.0
export OMP_NUM_THREADS=1
venv/bin/python -W ignore - <<'PYTHON'
import importlib.util
import pathlib
import sys
import sysconfig
import types

import torch
from torch.nn.functional import cross_entropy

# The package itself imports compiled MMCV of 2023; the losses need torch and the registry alone.
folder = pathlib.Path(sysconfig.get_path("purelib")) / "mmrazor"
package = types.ModuleType("mmrazor")
package.__path__ = [str(folder)]
sys.modules["mmrazor"] = package


def load(name):
    specification = importlib.util.spec_from_file_location(name, folder / "models" / "losses" / f"{name}.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


DKDLoss, KLDivergence = load("decoupled_kd").DKDLoss, load("kl_divergence").KLDivergence
torch.manual_seed(0)
for images in (1, 16, 64, 256):
    student, teacher, labels = torch.randn(images, 100, requires_grad=True), 2 * torch.randn(images, 100), torch.randint(0, 100, (images,))
    batchmean, mean, none = (DKDLoss(reduction=name)(student, teacher, labels) for name in ("batchmean", "mean", "none"))
    plain = KLDivergence(reduction="mean")(student, teacher)

    def gradient(value):
        return torch.autograd.grad(value, student)[0].norm().item()

    share = gradient(mean) / gradient(cross_entropy(student, labels))
    values = f"{batchmean:.2f} {mean:7.2f} {none:7.2f}; KLDivergence {plain:.3f}; gradient {share:5.1f}"
    print(f"{images:3} images: {values}")
    assert none.ndim == 0 and mean == none and abs(mean / batchmean - images) < 1e-3 * images
    assert plain < 0.1 and 0.2 * images < share < images
configuration = folder / ".mim" / "configs" / "distill" / "mmcls" / "dkd" / "dkd_resnet34_resnet18_8xb32_in1k.py"
assert "reduction='mean'" in configuration.read_text()
PYTHON
