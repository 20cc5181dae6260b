#!/usr/bin/env bash
# torchdistill==1.1.5
# Guess: lr_factor, which its examples set to the number of processes, multiplies the learning rate that a configuration names; two
#   stages that share an optimizer by a YAML anchor have the same rate, and so have two boxes of one configuration.
# Behaviour: The product is written into the caller's configuration. What is used again is multiplied again: by the factor's square in
#   the second stage, by its cube in the next run in the same process. Nothing is logged; no documentation or issue on it was found.
# Seen (lr 0.01, lr_factor 4, three runs in one process: the rate of stage 1, of stage 2):
#   shared by an anchor:                0.04, 0.16; 0.64, 2.56; 10.24, 40.96
#   an optimizer for each stage:        0.04, 0.04; 0.16, 0.16; 0.64, 0.64
#   the same, a deep copy for each run: 0.04, 0.04; 0.04, 0.04; 0.04, 0.04
# Why it matters: The second stage of a distillation, or the second seed of a sweep, trains at four or sixteen times the rate that its
#   record names, and the spread over seeds is one over rates. Give each box a deep copy, and each stage an optimizer of its own.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv venv -q venv
uv pip install -q --python venv/bin/python torch==2.15.0 torchvision==0.29.2 torchdistill==1.1.5
export OMP_NUM_THREADS=1
venv/bin/python -W ignore - <<'PYTHON'
import copy

import torch
import yaml
from torch import nn
from torch.utils.data import RandomSampler, TensorDataset
from torchdistill.core.distillation import get_distillation_box

TEXT = """
modules: &modules {student_module_path: '.', student_module_io: output, teacher_module_path: '.', teacher_module_io: output}
stage1: &first
  num_epochs: 1
  train_data_loader: {dataset_id: shown, sampler: {}, kwargs: {batch_size: 32}}
  teacher: {forward_proc: forward_batch_only, requires_grad: False}
  student: {forward_proc: forward_batch_only}
  optimizer: &optimizer {key: SGD, kwargs: {lr: 0.01}}
  criterion:
    key: WeightedSumLoss
    kwargs:
      sub_terms:
        kd:
          criterion:
            key: KDLoss
            kwargs: {<<: *modules, temperature: 4.0, alpha: 0.5}
          weight: 1.0
stage2:
  <<: *first
  optimizer: OPTIMIZER
"""
ANCHOR, OWN = "*optimizer", "{key: SGD, kwargs: {lr: 0.01}}"


def rates(recipe):
    """The learning rates of a run's two stages."""
    torch.manual_seed(0)
    teacher, student = nn.Sequential(nn.Flatten(), nn.Linear(12, 4)), nn.Sequential(nn.Flatten(), nn.Linear(12, 4))
    shown = TensorDataset(torch.randn(64, 3, 2, 2), torch.arange(64) % 4)
    box = get_distillation_box(teacher, student, {"shown": shown}, recipe, torch.device("cpu"), None, False, 4)
    first = box.optimizer.param_groups[0]["lr"]
    box.advance_to_next_stage()
    return round(first, 6), round(box.optimizer.param_groups[0]["lr"], 6)


def read(optimizer):
    recipe = yaml.safe_load(TEXT.replace("OPTIMIZER", optimizer))
    del recipe["modules"]
    recipe["stage1"]["train_data_loader"]["sampler"]["class_or_func"] = RandomSampler
    return recipe


def show(title, runs):
    print(f"{title + ':':35} {'; '.join(f'{first:g}, {second:g}' for first, second in runs)}")
    return runs


recipe = read(ANCHOR)
shared = show("shared by an anchor", [rates(recipe) for _ in range(3)])
assert shared == [(0.04 * 16**run, 0.16 * 16**run) for run in range(3)] and recipe["stage1"]["optimizer"]["kwargs"]["lr"] > 1
recipe = read(OWN)
own = show("an optimizer for each stage", [rates(recipe) for _ in range(3)])
assert own == [(0.04, 0.04), (0.16, 0.16), (0.64, 0.64)]
recipe = read(OWN)
assert show("the same, a deep copy for each run", [rates(copy.deepcopy(recipe)) for _ in range(3)]) == [(0.04, 0.04)] * 3
PYTHON
