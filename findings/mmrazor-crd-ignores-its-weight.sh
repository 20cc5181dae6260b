#!/usr/bin/env bash
# mmrazor==1.0.0 (torch 2.15.0)
# Guess: CRDLoss(loss_weight=w) is w times the contrastive loss, as the docstring's "loss weight" says and as it is for the package's other
#   losses.
# Behaviour: The weight is kept as an attribute and never used: the loss is that of 1, also at 0. The package's own configuration sets 0.8.
#   No documentation or issue on it was found.
# Seen (64 images of a memory of 512, 32 dimensions, 128 negatives, one seed; the loss, and the gradient's norm at the student's features;
#   another loss of the package):
#   loss_weight   0.0: loss 16.795, gradient 0.337; L2Loss 0.00
#   loss_weight   0.8: loss 16.795, gradient 0.337; L2Loss 1.56
#   loss_weight   1.0: loss 16.795, gradient 0.337; L2Loss 1.95
#   loss_weight 100.0: loss 16.795, gradient 0.337; L2Loss 195.08
# Why it matters: CRD stands beside the cross entropy with the labels, and its share is what one tunes. Each setting of a sweep gives the same
#   student, and the run with 0, which is to show what the term is worth, has it in full. Multiply the loss oneself.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv venv -q venv
uv pip install -q --python venv/bin/python torch==2.15.0 numpy==2.4.6 mmengine==0.10.7
uv pip install -q --python venv/bin/python --no-deps mmrazor==1.0.0
export OMP_NUM_THREADS=1
venv/bin/python -W ignore - <<'PYTHON'
import contextlib
import importlib.util
import io
import pathlib
import sys
import sysconfig
import types

import torch
from mmengine.structures import BaseDataElement
from torch.nn.functional import normalize

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


CRDLoss, L2Loss = load("crd_loss").CRDLoss, load("l2_loss").L2Loss
samples = [BaseDataElement(sample_idx=torch.tensor(index)) for index in range(64)]
values = []
for weight in (0.0, 0.8, 1.0, 100.0):
    torch.manual_seed(0)
    student, teacher = torch.randn(64, 32, requires_grad=True), torch.randn(64, 32)
    criterion = CRDLoss(loss_weight=weight, neg_num=128, sample_n=512, dim_out=32)
    with contextlib.redirect_stdout(io.StringIO()):
        loss = criterion(normalize(student), normalize(teacher), samples)
    size = torch.autograd.grad(loss.sum(), student)[0].norm().item()
    other = L2Loss(loss_weight=weight)(student, teacher).item()
    values.append((loss.item(), size))
    print(f"loss_weight {weight:5.1f}: loss {loss.item():.3f}, gradient {size:.3f}; L2Loss {other:.2f}")
    assert criterion.loss_weight == weight and (other == 0) == (weight == 0)
assert len(set(values)) == 1 and values[0][0] > 0 and values[0][1] > 0
PYTHON
