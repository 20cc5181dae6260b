#!/usr/bin/env bash
# keras==3.15.1 (jax 0.10.2; torch 2.15.0)
# Guess: Eight batches of 32 images with gradient_accumulation_steps=8 train what batches of 256 train, the average of the weights that
#   use_ema=True keeps included. The docstring of gradient_accumulation_steps says that variables change every so many steps, and that the
#   average's frequency goes by the accumulated iterations.
# Behaviour: The average is updated with every batch, between the updates of the weights, too. A momentum of m is one of m to the eighth
#   power: 0.99 remembers 12 updates instead of 100. fit ends with that average as the model's weights. No warning; no issue on it was
#   found.
# Seen (a student of a noisy teacher, 300 updates of 256 images, SGD; error on held-out images against the teacher without noise):
#   jax, raw weights:                        0.063 and, accumulated, 0.063; apart 7e-08
#     average, batches of 256:               0.011
#     average, 8 accumulated batches of 32:  0.025
#     batches of 256, momentum 0.99 ** 8:    0.024
#     accumulated, momentum 0.99 ** (1 / 8): 0.011
#   torch: the same
# Why it matters: Gradient accumulation is there to run a recipe on a smaller device. The recipe is the same and so are the raw weights, but
#   the student that is evaluated and exported has more than twice the error, and the gain of averaging seems to be smaller than it is.
#   Take the root of the momentum: ema_momentum=0.99 ** (1 / 8).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv venv -q venv
uv pip install -q --python venv/bin/python torch==2.15.0 numpy==2.4.6 keras==3.15.1 jax==0.10.2
cat >compare.py <<'PYTHON'
import keras
import numpy

generator = numpy.random.default_rng(0)
width, batch, updates, steps, momentum = 64, 256, 300, 8, 0.99
teacher = generator.normal(size=(width, 8)) / width**0.5
images = generator.normal(size=(batch * updates, width)).astype("float32")
targets = (images @ teacher + 2 * generator.normal(size=(len(images), 8))).astype("float32")
held_out = generator.normal(size=(1000, width)).astype("float32")


class Raw(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        self.weights = [numpy.array(value) for value in self.model.get_weights()]


def train(size, momentum, accumulate=None):
    keras.utils.set_random_seed(0)
    student = keras.Sequential([keras.layers.Input((width,)), keras.layers.Dense(8)])
    optimizer = keras.optimizers.SGD(0.5, use_ema=True, ema_momentum=momentum, gradient_accumulation_steps=accumulate)
    student.compile(optimizer, "mse")
    raw = Raw()
    student.fit(images, targets, batch_size=size, epochs=1, shuffle=False, verbose=0, callbacks=[raw])
    return raw.weights, student.get_weights()


def error(weights):
    return (((held_out @ weights[0] + weights[1] - held_out @ teacher) ** 2).mean() / (held_out @ teacher).var()).item()


def apart(first, second):
    return max(abs(ours - theirs).max().item() for ours, theirs in zip(first, second))


raw, average = train(batch, momentum)
raw_small, average_small = train(batch // steps, momentum, steps)
_, short = train(batch, momentum**steps)
_, root = train(batch // steps, momentum ** (1 / steps), steps)
raws = f"{error(raw):.3f} and, accumulated, {error(raw_small):.3f}; apart {apart(raw, raw_small):.0e}"
print(f"{keras.backend.backend() + ', raw weights:':40} {raws}")
print(f"{'  average, batches of 256:':40} {error(average):.3f}")
print(f"{'  average, 8 accumulated batches of 32:':40} {error(average_small):.3f}")
print(f"{'  batches of 256, momentum 0.99 ** 8:':40} {error(short):.3f}")
print(f"{'  accumulated, momentum 0.99 ** (1 / 8):':40} {error(root):.3f}")
assert apart(raw, raw_small) < 1e-3 and abs(error(short) / error(average_small) - 1) < 0.2
assert error(average_small) > 2 * error(average) and error(root) < 1.3 * error(average)
PYTHON
export OMP_NUM_THREADS=1 KERAS_HOME="$folder" JAX_PLATFORMS=cpu
for backend in jax torch; do
    KERAS_BACKEND=$backend venv/bin/python -W ignore compare.py 2>log
done
