#!/usr/bin/env bash
# torchdistill==1.1.5
# Guess: A teacher with requires_grad: False is frozen: it answers as in an evaluation, and comes out as it went in.
# Behaviour: Its parameters are frozen, its mode is not touched. A model that was just built, or trained, is in training mode:
#   its batch norms use the batch's statistics and move the running ones, its dropout is on. Up to 0.3.3 the box called eval() on
#   the teacher itself. The configuration has no key for the mode, and nothing is logged.
# Seen (a frozen teacher of four classes, a student distilled for two epochs on images of two of them):
#   teacher's top-1 before 100%, after 72%; tensors that changed: 1.running_mean, 1.running_var, 1.num_batches_tracked
#   logits of the same 32 images in two calls of the teacher, as far apart as 49% of their standard deviation
#   after teacher.eval(): before 100%, after 100%; changed: none; apart 0%
# Why it matters: The student learns from another teacher than the one that is reported, and the teacher that is evaluated at
#   the end is worse than it was. The library's own example builds the teacher and does not call eval() before training. Call
#   teacher.eval() before the first epoch.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv venv -q venv
uv pip install -q --python venv/bin/python torch==2.15.0 torchvision==0.29.2 torchdistill==1.1.5
export OMP_NUM_THREADS=1
venv/bin/python -W ignore - <<'PYTHON'
import torch
from torch import nn
from torch.utils.data import RandomSampler, TensorDataset
from torchdistill.core.distillation import get_distillation_box

KD = {"student_module_path": ".", "student_module_io": "output", "teacher_module_path": ".", "teacher_module_io": "output"}
KD |= {"temperature": 4.0, "alpha": 0.5}
RECIPE = {
    "num_epochs": 2,
    "train_data_loader": {"dataset_id": "shown", "sampler": {"class_or_func": RandomSampler}, "kwargs": {"batch_size": 32}},
    "teacher": {"forward_proc": "forward_batch_only", "requires_grad": False},
    "student": {"forward_proc": "forward_batch_only"},
    "optimizer": {"key": "SGD", "kwargs": {"lr": 0.01}},
    "criterion": {"key": "WeightedSumLoss", "kwargs": {"sub_terms": {"kd": {"criterion": {"key": "KDLoss", "kwargs": KD}, "weight": 1.0}}}},
}


def model(width):
    layers = nn.Conv2d(3, width, 3), nn.BatchNorm2d(width), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    return nn.Sequential(*layers, nn.Dropout(0.5), nn.Linear(width, 4))


torch.manual_seed(0)
labels = torch.arange(512) % 4
colours = torch.tensor([[2, 1, 1], [1, 2, 1], [1, 1, 2], [1.3, 1.3, 1.3]])
images = torch.rand(512, 3, 8, 8) * colours[labels][:, :, None, None]
trained = model(32)
optimizer = torch.optim.AdamW(trained.parameters(), lr=0.01)
for _ in range(150):
    optimizer.zero_grad()
    nn.functional.cross_entropy(trained(images), labels).backward()
    optimizer.step()


def distilled(teacher):
    box = get_distillation_box(teacher, model(8), {"shown": TensorDataset(images[labels < 2], labels[labels < 2])}, RECIPE, torch.device("cpu"), None, False, 1)
    with torch.no_grad():
        calls = torch.stack([box.get_teacher_output(images[:32], None, None)[0] for _ in range(2)])
    for epoch in range(box.num_epochs):
        box.pre_epoch_process(epoch=epoch)
        for batch, targets, more in box.train_data_loader:
            box.post_forward_process(loss=box.forward_process(batch, targets, more))
        box.post_epoch_process()
    changed = [name for name, value in teacher.state_dict().items() if not torch.equal(value, trained.state_dict()[name])]
    return changed, ((calls[0] - calls[1]).square().mean().sqrt() / calls.std()).item()


def top1(model):
    with torch.no_grad():
        return (model.eval()(images).argmax(dim=1) == labels).float().mean().item()


before = top1(trained)
built = model(32)
built.load_state_dict(trained.state_dict())
changed, apart = distilled(built)
after = top1(built)
print(f"teacher's top-1 before {before:.0%}, after {after:.0%}; tensors that changed: {', '.join(changed)}")
print(f"logits of the same 32 images in two calls of the teacher, as far apart as {apart:.0%} of their standard deviation")
quiet = model(32).eval()
quiet.load_state_dict(trained.state_dict())
none, still = distilled(quiet)
print(f"after teacher.eval(): before {before:.0%}, after {top1(quiet):.0%}; changed: {', '.join(none) or 'none'}; apart {still:.0%}")
assert before > 0.95 and after < 0.9 and apart > 0.1
assert changed == ["1.running_mean", "1.running_var", "1.num_batches_tracked"]
assert not none and still == 0 and top1(quiet) == before
PYTHON
