#!/usr/bin/env bash
# keras==3.15.1 (torch 2.15.0 as its backend)
# Guess: LogitsDistillation(), whose loss is "kl_divergence", compares the softmaxes of teacher and student at a temperature and
#   multiplies by its square, as keras.losses.KLDivergence() does there.
# Behaviour: Softmax and square are for instances of KLDivergence alone. The string "kl_divergence", which is the default and the one
#   in the examples, becomes a function: it gets the logits over the temperature, and clips them to 1e-7 and 1. Where the student's
#   logit is negative or above the temperature it has no gradient, and the loss falls below 0. No documentation or issue was found.
# Seen (ten classes that a teacher tells apart; a student that starts anew each time, ten epochs; accuracy on 1,000 held-out samples):
#   loss                student_loss_weight=0: loss, accuracy; 0.5: accuracy
#   default                    -0.105, 38.7 %; 97.6 %
#   "kl_divergence"            -0.105, 38.7 %; 97.6 %
#   KLDivergence()              0.215, 99.9 %; 99.9 %
#   labels alone (weight 1):  99.7 %
# Why it matters: The student of Keras's own example learns little of its teacher, or is worse than without one, while its loss falls.
#   Pass loss=keras.losses.KLDivergence() or the string "KLDivergence".
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv venv -q venv
uv pip install -q --python venv/bin/python torch==2.15.0 numpy==2.4.6 keras==3.15.1
export OMP_NUM_THREADS=1 KERAS_BACKEND=torch KERAS_HOME="$folder"
venv/bin/python -W ignore - <<'PYTHON'
import keras
import numpy
import torch
from keras.distillation import Distiller, LogitsDistillation
from keras.losses import KLDivergence, SparseCategoricalCrossentropy
from torch.nn.functional import kl_div, log_softmax, softmax

random = numpy.random.default_rng(0)
labels = random.integers(0, 10, 4000)
samples = (random.normal(size=(10, 32))[labels] + 0.9 * random.normal(size=(4000, 32))).astype("float32")
train, held_out = slice(3000), slice(3000, None)


def network(width, seed):
    keras.utils.set_random_seed(seed)
    return keras.Sequential([keras.layers.Input((32,)), keras.layers.Dense(width, activation="relu"), keras.layers.Dense(10)])


def accuracy(model):
    return 100 * (model.predict(samples[held_out], verbose=0).argmax(axis=1) == labels[held_out]).mean()


teacher = network(256, 0)
teacher.compile("adam", SparseCategoricalCrossentropy(from_logits=True))
teacher.fit(samples[train], labels[train], epochs=10, batch_size=64, verbose=0)
assert accuracy(teacher) > 99


def distil(loss, weight):
    student = network(32, 1)
    distiller = Distiller(teacher, student, LogitsDistillation(temperature=3.0, **loss), student_loss_weight=weight)
    distiller.compile("adam", SparseCategoricalCrossentropy(from_logits=True))
    history = distiller.fit(samples[train], labels[train], epochs=10, batch_size=64, verbose=0).history
    return history["distillation_loss"][-1], accuracy(student)


print("loss                student_loss_weight=0: loss, accuracy; 0.5: accuracy")
rows = {}
for title, loss in (("default", {}), ('"kl_divergence"', {"loss": "kl_divergence"}), ("KLDivergence()", {"loss": KLDivergence()})):
    (value, alone), (_, mixed) = distil(loss, 0.0), distil(loss, 0.5)
    print(f"{title:25} {value:7.3f}, {alone:.1f} %; {mixed:.1f} %")
    rows[title] = value, alone, mixed
without = distil({}, 1.0)[1]
print(f"labels alone (weight 1):  {without:.1f} %")
assert rows["default"] == rows['"kl_divergence"']
assert rows["default"][0] < 0 and rows["default"][1] < 60 and rows["default"][2] < 99
assert rows["KLDivergence()"][0] > 0 and min(*rows["KLDivergence()"][1:], without) > 99.5

given, wanted = torch.tensor([[-1.0, -4, -9]]), torch.tensor([[5.0, -2, -3]])
exact = 9 * kl_div(log_softmax(given / 3, -1), softmax(wanted / 3, -1), reduction="batchmean").item()
clipped = (lambda one, two: (one * (one / two).log()).sum().item())((wanted / 3).clip(1e-7, 1), (given / 3).clip(1e-7, 1))
assert abs(LogitsDistillation(3.0, KLDivergence()).compute_loss(wanted, given).item() - exact) < 1e-3
assert abs(LogitsDistillation(3.0).compute_loss(wanted, given).item() - clipped) < 1e-3
PYTHON
