#!/usr/bin/env bash
# torchdistill==1.1.5
# Guess: KDLoss is alpha CE + beta T^2 KL for every alpha, as its docstring says; alpha = 0 leaves beta T^2 KL.
# Behaviour: With alpha = 0, and for any alpha without targets, it returns the bare KL: beta and T^2 are left out.
# Seen (T = 4, beta left at 1 - alpha):
#   alpha 0.000000: loss 0.1762
#   alpha 0.000001: loss 2.8199, gradient 16.0 times as large
#   alpha 0.500000 without targets: loss 0.1762
#   alpha 0.000000, beta = 10: loss 0.1762
# Why it matters: Pure distillation is what a sweep over alpha ends with, and what unlabelled images need. There the
#   gradient drops to a sixteenth at T = 4, so that "labels help" or "a higher temperature hurts" is what one measures; beta has
#   no effect at all. Use an alpha such as 1e-9 with targets, or scale the loss.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv venv -q venv
uv pip install -q --python venv/bin/python torch==2.15.0 torchvision==0.29.2 torchdistill==1.1.5
export OMP_NUM_THREADS=1
venv/bin/python -W ignore - <<'PYTHON'
import torch
import torch.nn.functional as F
from torchdistill.losses.mid_level import KDLoss

T = 4.0
torch.manual_seed(0)
student, teacher, targets = torch.randn(32, 10, requires_grad=True), 2 * torch.randn(32, 10), torch.arange(32) % 10
bare = F.kl_div(F.log_softmax(student / T, dim=1), F.softmax(teacher / T, dim=1), reduction="batchmean").item()


def loss(alpha, given, beta=None):
    student.grad = None
    value = KDLoss("fc", "output", "fc", "output", temperature=T, alpha=alpha, beta=beta)({"fc": {"output": student}}, {"fc": {"output": teacher}}, given)
    value.backward()
    return value.item(), student.grad.norm().item()


zero, small, none, weighted = loss(0.0, targets), loss(1e-6, targets), loss(0.5, None), loss(0.0, targets, beta=10.0)
print(f"alpha 0.000000: loss {zero[0]:.4f}")
print(f"alpha 0.000001: loss {small[0]:.4f}, gradient {small[1] / zero[1]:.1f} times as large")
print(f"alpha 0.500000 without targets: loss {none[0]:.4f}")
print(f"alpha 0.000000, beta = 10: loss {weighted[0]:.4f}")
assert abs(small[0] / bare - T**2) < 1e-3 and abs(small[1] / zero[1] - T**2) < 1e-3
assert all(abs(value / bare - 1) < 1e-5 for value, _ in (zero, none, weighted))
PYTHON
