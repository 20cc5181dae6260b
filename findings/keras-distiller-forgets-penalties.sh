#!/usr/bin/env bash
# keras==3.15.1 (torch 2.15.0 as its backend)
# Guess: A Distiller trains its student with the penalties that the student's layers have (kernel_regularizer, activity_regularizer,
#   add_loss), and with the sample_weight or class_weight that fit is given, as the student's own fit does.
# Behaviour: Distiller.compute_loss replaces the one that adds them: all are left out, in training and in the loss that is shown.
#   A comment on the method's sample_weight says "currently unused"; of fit's arguments and of penalties nothing is said or raised.
# Seen (norm of the first kernel without and with L2 penalties of 0.1; samples that are given the second class, and with its weight 0):
#   fit:             plain 3.417, with penalties 0.912; class weights: 53.8 %, 0.2 %
#   Distiller.fit:   plain 3.338, with penalties 3.338; class weights: 53.6 %, 53.6 %
# Why it matters: The regularized student and the one without are the same to the bit, so a comparison of them shows no effect, and a
#   long-tailed set is distilled unweighted. Use the optimizer's weight_decay, and draw the classes evenly.
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
from keras.distillation import Distiller, LogitsDistillation
from keras.layers import Dense, Input
from keras.losses import KLDivergence, SparseCategoricalCrossentropy

random = numpy.random.default_rng(0)
labels = random.integers(0, 2, 1000)
samples = (random.normal(size=(2, 8))[labels] + random.normal(size=(1000, 8))).astype("float32")


def network(penalty=None):
    keras.utils.set_random_seed(0)
    return keras.Sequential([Input((8,)), Dense(16, "relu", kernel_regularizer=penalty), Dense(2, kernel_regularizer=penalty)])


def train(distil, penalty=None, **settings):
    """Norm of the first kernel, and the share of the samples that the student gives the second class in percent."""
    student = network(penalty)
    model = student
    if distil:
        teacher = keras.Sequential([Input((8,)), Dense(2)])
        model = Distiller(teacher, student, LogitsDistillation(loss=KLDivergence()), student_loss_weight=0.99)
    model.compile(keras.optimizers.SGD(0.1), SparseCategoricalCrossentropy(from_logits=True))
    model.fit(samples, labels, batch_size=100, epochs=20, shuffle=False, verbose=0, **settings)
    return numpy.linalg.norm(student.get_weights()[0]), 100 * (student.predict(samples, verbose=0).argmax(axis=1) == 1).mean()


seen = {}
for title, distil in (("fit", False), ("Distiller.fit", True)):
    plain, even = train(distil)
    decayed, _ = train(distil, keras.regularizers.L2(0.1))
    _, weighted = train(distil, class_weight={0: 1.0, 1: 0.0})
    print(f"{title + ':':16} plain {plain:.3f}, with penalties {decayed:.3f}; class weights: {even:.1f} %, {weighted:.1f} %")
    seen[title] = plain, decayed, even, weighted
own, distilled = seen["fit"], seen["Distiller.fit"]
assert own[1] < 0.5 * own[0] and own[3] < 5 < 45 < own[2]
assert distilled[0] == distilled[1] and distilled[2] == distilled[3]
PYTHON
