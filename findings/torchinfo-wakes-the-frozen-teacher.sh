#!/usr/bin/env bash
# torchinfo==1.8.0 (thop 0.1.1.post2209072238, torch 2.15.0)
# Guess: A summary leaves the model as it was: torchinfo runs it in eval mode and then puts back what it found.
# Behaviour: It puts back the mode of the outermost module with train(mode), which goes down to each layer. A frozen teacher inside, or
#   frozen batch norms, are in training mode afterwards, if the whole was. thop's profile does the same, and so does torch.onnx.export
#   with dynamo=False. torchinfo's documentation says that eval() is called before the pass, not what comes after. No issue on it was
#   found.
# Seen (a distiller in training mode with a teacher in eval mode; after the call, the teacher's mode, the relative difference of its
#   targets of the same images in two passes, and from the pass before the call):
#   nothing:                              eval     0.000 0.000
#   torchinfo.summary(distiller.student): eval     0.000 0.000
#   torchinfo.summary(distiller):         training 0.319 1.036
#   thop.profile(distiller):              training 0.319 1.036
#   torch.onnx.export(dynamo=False):      training 0.319 1.036
# Why it matters: A line that logs the size of the model before training, or an export at the end of an epoch, turns the teacher's
#   dropout on, makes its targets depend on the batch, and lets its statistics drift with the student's images. Nothing fails; the
#   student is a little worse. Call teacher.eval() at the start of each step, or summarize the student alone.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv venv -q venv
uv pip install -q --python venv/bin/python torch==2.15.0 numpy==2.4.6 onnx==1.23.2 torchinfo==1.8.0 thop==0.1.1.post2209072238
export OMP_NUM_THREADS=1
venv/bin/python -W ignore - 2>log <<'PYTHON'
import thop
import torch
import torchinfo
from torch import nn


def network(width):
    convolutions = [nn.Conv2d(3, width, 3, stride=2), nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, width, 3), nn.BatchNorm2d(width), nn.ReLU()]
    return nn.Sequential(*convolutions, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.1), nn.Linear(width, 8))


class Distiller(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.student, self.teacher = network(8), network(16).requires_grad_(False)
        for layer in self.teacher.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.running_mean.normal_(0, 0.1)
                layer.running_var.uniform_(0.5, 1.5)

    def forward(self, images):
        with torch.no_grad():
            targets = self.teacher(images)
        return nn.functional.mse_loss(self.student(images), targets)


def difference(ours, theirs):
    return ((ours - theirs).norm() / theirs.norm()).item()


def look(title, call):
    distiller = Distiller().train()
    distiller.teacher.eval()
    images = torch.randn(4, 3, 16, 16)
    with torch.no_grad():
        before = distiller.teacher(images)
        call(distiller, images)
        first, second = distiller.teacher(images), distiller.teacher(images)
    mode, twice, moved = distiller.teacher.training, difference(first, second), difference(first, before)
    print(f"{title + ':':37} {'training' if mode else 'eval':8} {twice:.3f} {moved:.3f}")
    assert distiller.student.training
    return mode, twice, moved


asleep = [
    look("nothing", lambda distiller, images: None),
    look("torchinfo.summary(distiller.student)", lambda distiller, images: torchinfo.summary(distiller.student, input_data=images, verbose=0)),
]
awake = [
    look("torchinfo.summary(distiller)", lambda distiller, images: torchinfo.summary(distiller, input_data=images, verbose=0)),
    look("thop.profile(distiller)", lambda distiller, images: thop.profile(distiller, (images,), verbose=False)),
    look("torch.onnx.export(dynamo=False)", lambda distiller, images: torch.onnx.export(distiller, (images,), "distiller.onnx", dynamo=False)),
]
assert all(state == (False, 0, 0) for state in asleep)
assert all(mode and twice > 0.05 and moved > 0.05 for mode, twice, moved in awake)
PYTHON
