#!/usr/bin/env bash
# timm==1.0.31 (torch 2.15.0)
# Guess: ModelEmaV3(model, use_warmup=True) raises its decay from update to update, and update_after_step=n lets the first n pass, when
#   update(model) is called after each step.
# Behaviour: It does not count its updates. update(model) without the number of the step, an optional argument, uses the full decay from the
#   first update on: warm-up, min_decay and update_after_step do nothing, and no warning says so. With update(model, step=...) they work.
#   Its docstring describes the warm-up, not the argument; no documentation or issue on it was found.
# Seen (a model whose weights go from 0 to 1 in the first step and stay there; the average after 100, 1,000 and 10,000 updates):
#   no warm-up, update(model):                  0.010 0.095 0.632
#   use_warmup, update(model):                  0.010 0.095 0.632
#   use_warmup, update(model, step=step):       1.000 1.000 1.000
#   update_after_step=5000, update(model):      0.010 0.095 0.632
# Why it matters: After a short run the average is the untrained student, which is what the warm-up is there to prevent: after 1,000 updates
#   with the default decay nine tenths of it are the first weights.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv venv -q venv
uv pip install -q --python venv/bin/python torch==2.15.0 torchvision==0.29.2 numpy==2.4.6 timm==1.0.31
export OMP_NUM_THREADS=1
venv/bin/python -W ignore - 2>log <<'PYTHON'
import torch
from timm.utils import ModelEmaV3
from torch import nn


def judge(title, counted=False, **settings):
    model = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(model.weight)
    average = ModelEmaV3(model, **settings)
    nn.init.ones_(model.weight)
    row = []
    for step in range(1, 10001):
        average.update(model, step=step) if counted else average.update(model)
        if step in (100, 1000, 10000):
            row.append(average.module.weight.item())
    print(f"{title + ':':43} " + " ".join(f"{value:.3f}" for value in row))
    return row


plain = judge("no warm-up, update(model)")
warm = judge("use_warmup, update(model)", use_warmup=True)
told = judge("use_warmup, update(model, step=step)", counted=True, use_warmup=True)
late = judge("update_after_step=5000, update(model)", update_after_step=5000)
assert plain == warm == late and abs(plain[1] - (1 - 0.9999**1000)) < 1e-3
assert all(abs(value - 1) < 1e-3 for value in told)
PYTHON
