#!/usr/bin/env bash
# keras==3.15.1 (torch 2.15.0 as its backend)
# Guess: Distiller.evaluate, and fit with validation_data, measure the student in inference mode, and change nothing in it.
# Behaviour: With a FeatureDistillation that names a layer of the student, compute_loss runs the student a second time, always with
#   training=True: validation moves its batch norms' statistics, and draws dropout for the distillation loss. In training the
#   statistics move twice a step. Without a layer's name neither happens. No documentation or issue on it was found.
# Seen (a batch norm with momentum 0.9 on inputs of mean 2; its moving mean, and how far evaluating moves the student's logits):
#   LogitsDistillation:                mean 0.000, after evaluate 0.000 (logits 0.000); one step from 0: 0.200
#   FeatureDistillation by layers:     mean 0.000, after evaluate 0.688 (logits 6.730); one step from 0: 0.380
# Why it matters: The student takes in the held-out images, and its figures and weights depend on how often it was validated: one
#   that adapts to another domain looks as if it generalized. Measure distiller.student, not the distiller, and give fit no
#   validation_data.
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
from keras.distillation import Distiller, FeatureDistillation, LogitsDistillation
from keras.layers import BatchNormalization, Dense, Input

random = numpy.random.default_rng(0)
samples = random.normal(2, 3, size=(256, 8)).astype("float32")
samples += 2 - samples.mean()
labels = random.integers(0, 10, 256)


def network():
    return keras.Sequential([Input((8,)), BatchNormalization(momentum=0.9, name="norm"), Dense(16, "relu", name="middle"), Dense(10)])


def measure(title, loss):
    keras.utils.set_random_seed(0)
    student = network()
    distiller = Distiller(network(), student, loss)
    distiller.compile(keras.optimizers.SGD(0.0), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    norm = student.get_layer("norm")
    fresh = student.get_weights()

    def mean():
        return keras.ops.convert_to_numpy(norm.moving_mean).mean().item()

    logits, start = student.predict(samples, verbose=0), mean()
    distiller.evaluate(samples, labels, batch_size=64, verbose=0)
    evaluated, moved = mean(), abs(student.predict(samples, verbose=0) - logits).max()
    student.set_weights(fresh)
    distiller.fit(samples, labels, batch_size=256, epochs=1, verbose=0)
    print(f"{title + ':':34} mean {start:.3f}, after evaluate {evaluated:.3f} (logits {moved:.3f}); one step from 0: {mean():.3f}")
    return evaluated, moved, mean()


plain = measure("LogitsDistillation", LogitsDistillation(loss=keras.losses.KLDivergence()))
named = measure("FeatureDistillation by layers", FeatureDistillation(teacher_layer_name="middle", student_layer_name="middle"))
assert plain[:2] == (0, 0) and abs(plain[2] - 2 * (1 - 0.9)) < 1e-3
assert abs(named[0] - 2 * (1 - 0.9**4)) < 0.01 and named[1] > 0.1 and abs(named[2] - 2 * (1 - 0.9**2)) < 1e-3
PYTHON
