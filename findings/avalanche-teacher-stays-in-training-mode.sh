#!/usr/bin/env bash
# avalanche-lib==0.6.0 (torch 2.15.0)
# Guess: LwF's teacher is the model as it was after the last experience, as the docstring has it: while the student learns the next one, it
#   answers as in an evaluation and stays as it is.
# Behaviour: The copy is taken at the end of a training loop, in training mode, and nobody calls eval(). Its dropout is on, its batch norms
#   take the statistics of the new experience's batches, and move their running ones to them. The strategy evaluates between experiences
#   only after the copy is taken; FeatureDistillationPlugin copies at the same moment. The documentation names no mode; no issue on it was
#   found.
# Seen (four classes, then four others that are brighter, five epochs each; the teacher's mode, its top-1 on its own classes before and after
#   the student's second experience; the logits that it gives the student as targets there: how far two passes differ, and how far they
#   are from those of the teacher in eval mode):
#   LwF: training mode True; top-1 100%, then 25%; targets 26%, 55%
#   with eval(): training mode False; top-1 100%, then 100%; targets 0%, 0%
# Why it matters: Learning without forgetting is judged by what a student keeps of its teacher. Here the teacher forgets, too: a CNN with batch
#   norms learns from noisy targets that belong to other images' statistics, and the benchmark of the method is one of models
#   without batch norms and dropout. Add a plugin that calls prev_model.eval() before each experience.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv venv -q venv
uv pip install -q --python venv/bin/python torch==2.15.0 torchvision==0.29.2 numpy==2.4.6 torchmetrics==1.9.0 scikit-learn==1.9.1 \
    matplotlib==3.11.2 pandas==3.1.1 setuptools==79.0.1 psutil==7.2.2 gputil==1.4.0 dill==0.4.1 gdown==6.5.1 pytorchcv==0.0.74 \
    qpsolvers==4.13.0 tensorboard==2.21.0 wandb==0.31.0
uv pip install -q --python venv/bin/python --no-deps avalanche-lib==0.6.0
export OMP_NUM_THREADS=1 WANDB_MODE=disabled HOME="$folder"
venv/bin/python -W ignore - 2>log <<'PYTHON'
import copy

import torch
from avalanche.benchmarks import tensors_benchmark
from avalanche.training import LwF
from avalanche.training.plugins import EvaluationPlugin, LwFPlugin, SupervisedPlugin
from torch import nn

torch.manual_seed(0)
labels = torch.arange(512) % 4
colours = torch.tensor([[2, 1, 1], [1, 2, 1], [1, 1, 2], [1.3, 1.3, 1.3]])
images = torch.rand(512, 3, 8, 8) * colours[labels][:, :, None, None]
data = [(images, labels), (images + 2, labels + 4)]


class FrozenTeacher(SupervisedPlugin):
    def before_training_exp(self, strategy, **kwargs):
        if teacher_of(strategy):
            teacher_of(strategy).eval()


def teacher_of(strategy):
    return next(plugin for plugin in strategy.plugins if isinstance(plugin, LwFPlugin)).lwf.prev_model


def logits(model, shown=images):
    with torch.no_grad():
        return copy.deepcopy(model)(shown)[:, :4]


def top1(model):
    return (logits(copy.deepcopy(model).eval()).argmax(dim=1) == labels).float().mean().item()


def learn(plugins):
    torch.manual_seed(1)
    layers = nn.Conv2d(3, 32, 3), nn.BatchNorm2d(32), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(32, 8)
    model = nn.Sequential(*layers)
    settings = {"alpha": 4.0, "temperature": 2.0, "train_mb_size": 64, "train_epochs": 5, "evaluator": EvaluationPlugin()}
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    strategy = LwF(model=model, optimizer=optimizer, criterion=nn.CrossEntropyLoss(), plugins=plugins, **settings)
    first, second = tensors_benchmark(train_tensors=data, test_tensors=data, task_labels=[0, 0]).train_stream
    strategy.train(first)
    teacher = teacher_of(strategy)
    before, wanted = top1(teacher), logits(copy.deepcopy(teacher).eval(), images + 2)
    strategy.train(second)
    training, after = teacher.training, top1(teacher)
    first, second = logits(teacher, images + 2), logits(teacher, images + 2)
    apart, away = ((first - other).norm() / other.norm() for other in (second, wanted))
    return training, before, after, apart.item(), away.item()


training, before, after, apart, away = learn([])
print(f"LwF: training mode {training}; top-1 {before:.0%}, then {after:.0%}; targets {apart:.0%}, {away:.0%}")
frozen = learn([FrozenTeacher()])
values = "top-1 {:.0%}, then {:.0%}; targets {:.0%}, {:.0%}".format(*frozen[1:])
print(f"with eval(): training mode {frozen[0]}; {values}")
assert training and before > 0.9 and after < before - 0.3 and apart > 0.05 and away > 0.3
assert not frozen[0] and frozen[1] == frozen[2] > 0.9 and frozen[3] == frozen[4] == 0
PYTHON
