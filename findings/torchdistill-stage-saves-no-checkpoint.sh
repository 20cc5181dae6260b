#!/usr/bin/env bash
# torchdistill==1.1.5
# Guess: In a stage's configuration src_ckpt is the file that its student or teacher starts from, and dst_ckpt the file that it is saved
#   to when the stage ends, as its pull request on "stage-wise loading/saving" (315) says. A src_ckpt that is not there is an error.
# Behaviour: src_ckpt is read from the stage, dst_ckpt from beside the stages: a stage's own is ignored, and the one beside them is
#   written when a stage is followed by another, so never after the last. A src_ckpt without a file is one line of the log at level
#   INFO, and training goes on with the weights that the model has. No documentation or issue on it was found.
# Seen (an assistant is trained in two stages; a second run takes it as the teacher, built anew, by src_ckpt):
#   dst_ckpt in stage 1: saved by stage 1 False, by stage 2 False; the next run's teacher: untrained
#   dst_ckpt in stage 2: saved by stage 1 False, by stage 2 False; the next run's teacher: untrained
#   dst_ckpt beside them: saved by stage 1 True, by stage 2 False; the next run's teacher: assistant after stage 1
# Why it matters: The student of an assistant learns from random weights, or from those of the first stage, for a whole run, and so
#   does any whose teacher's path has a typing error. Save with save_ckpt after training, and check that the file is there before.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv venv -q venv
uv pip install -q --python venv/bin/python torch==2.15.0 torchvision==0.29.2 torchdistill==1.1.5
export OMP_NUM_THREADS=1
venv/bin/python -W ignore - <<'PYTHON'
import pathlib

import torch
import yaml
from torch import nn
from torch.utils.data import RandomSampler, TensorDataset
from torchdistill.core.distillation import get_distillation_box

TEXT = """
stage1: &first
  num_epochs: 1
  train_data_loader: {dataset_id: shown, sampler: {}, kwargs: {batch_size: 32}}
  teacher: {forward_proc: forward_batch_only, requires_grad: False}
  student: {forward_proc: forward_batch_only}
  optimizer: {key: SGD, kwargs: {lr: 0.5}}
  criterion:
    key: WeightedSumLoss
    kwargs:
      sub_terms:
        kd:
          criterion:
            key: KDLoss
            kwargs:
              {student_module_path: '.', student_module_io: output, teacher_module_path: '.', teacher_module_io: output,
               temperature: 4.0, alpha: 0.5}
          weight: 1.0
stage2: {<<: *first}
"""
torch.manual_seed(0)
shown = TensorDataset(torch.randn(64, 12), torch.arange(64) % 4)


def model(seed):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(12, 4))


def box(teacher, student, recipe):
    for stage in ("stage1", "stage2"):
        recipe[stage]["train_data_loader"]["sampler"]["class_or_func"] = RandomSampler
    return get_distillation_box(teacher, student, {"shown": shown}, recipe, torch.device("cpu"), None, False, 1)


def train(running):
    """Both stages; the student's weights and whether the file is there after each."""
    seen = []
    for _ in range(2):
        running.pre_epoch_process(epoch=len(seen))
        for inputs, targets, supplement in running.train_data_loader:
            running.post_forward_process(loss=running.forward_process(inputs, targets, supplement))
        student, file = running.org_student_model, pathlib.Path("assistant.pt")
        weights = student[0].weight.detach().clone()
        file.unlink(missing_ok=True)
        running.post_epoch_process()
        seen.append((weights, file.exists()))
        if file.exists():
            file.rename("kept.pt")
    return seen


def run(title, place):
    recipe = yaml.safe_load(TEXT)
    target = {"stage 1": recipe["stage1"], "stage 2": recipe["stage2"], "beside": recipe}[place]
    target["student"] = {**target.get("student", {}), "dst_ckpt": "assistant.pt"}
    pathlib.Path("kept.pt").unlink(missing_ok=True)
    (first, in_one), (second, in_two) = train(box(model(1), model(2), recipe))
    assert not torch.equal(first, second)
    recipe = yaml.safe_load(TEXT)
    recipe["stage1"]["teacher"] = {**recipe["stage1"]["teacher"], "src_ckpt": "kept.pt"}
    teacher = model(3)
    untrained = teacher[0].weight.detach().clone()
    weights = box(teacher, model(4), recipe).teacher_model[0].weight
    states = {"untrained": untrained, "assistant after stage 1": first, "assistant after stage 2": second}
    (state,) = [name for name, value in states.items() if torch.equal(weights, value)]
    print(f"{title}: saved by stage 1 {in_one}, by stage 2 {in_two}; the next run's teacher: {state}")
    return in_one, in_two, state


assert run("dst_ckpt in stage 1", "stage 1") == (False, False, "untrained")
assert run("dst_ckpt in stage 2", "stage 2") == (False, False, "untrained")
assert run("dst_ckpt beside them", "beside") == (True, False, "assistant after stage 1")
PYTHON
