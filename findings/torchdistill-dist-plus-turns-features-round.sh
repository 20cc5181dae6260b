#!/usr/bin/env bash
# torchdistill==1.1.5
# Guess: DISTPlusLoss is least, at 0, where the student's logits and feature map equal the teacher's; its four terms are one minus
#   a correlation.
# Behaviour: The term of channels is the correlation itself, with a plus: training makes the channels of each position the opposite of
#   the teacher's. Logits, and the sums over channels that the spatial term compares, are not affected.
# Seen (a teacher's 8 x 7 x 7 map, a student's map learnt from noise in 300 steps, all weights 1):
#   the teacher's own map: loss 1.000, correlation of channels 1.000
#   the learnt map: loss -1.000, correlation of channels -1.000
#   learnt with iota=-1: loss -1.000, correlation of channels 1.000
# Why it matters: A comparison of losses ranks DIST+ by a student that was taught to contradict its teacher; the library's own
#   configuration for ImageNet has iota 1. Give iota the opposite sign.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv venv -q venv
uv pip install -q --python venv/bin/python torch==2.15.0 torchvision==0.29.2 torchdistill==1.1.5
export OMP_NUM_THREADS=1
venv/bin/python -W ignore - <<'PYTHON'
import torch
from torchdistill.losses.mid_level import DISTPlusLoss

torch.manual_seed(0)
logits, teacher = torch.randn(16, 10), torch.randn(16, 8, 7, 7)


def loss_of(student, iota=1.0):
    loss = DISTPlusLoss(*(".", "output") * 2, *("layer4", "output") * 2, iota=iota)
    return loss(*({".": {"output": logits}, "layer4": {"output": features}} for features in (student, teacher)))


def correlation(student):
    one, other = (features - features.mean(dim=1, keepdim=True) for features in (student, teacher))
    return torch.cosine_similarity(one, other, dim=1).mean().item()


def learnt(iota):
    student = torch.randn_like(teacher).requires_grad_()
    optimizer = torch.optim.Adam([student], lr=0.05)
    for _ in range(300):
        optimizer.zero_grad()
        loss_of(student, iota).backward()
        optimizer.step()
    return student.detach()


for name, student, iota, expected in (
    ("the teacher's own map", teacher, 1.0, (1, 1)),
    ("the learnt map", learnt(1.0), 1.0, (-1, -1)),
    ("learnt with iota=-1", learnt(-1.0), -1.0, (-1, 1)),
):
    loss, alike = loss_of(student, iota).item(), correlation(student)
    print(f"{name}: loss {loss:.3f}, correlation of channels {alike:.3f}")
    assert abs(loss - expected[0]) < 1e-3 and abs(alike - expected[1]) < 1e-3
PYTHON
