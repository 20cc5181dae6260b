#!/usr/bin/env bash
# repsim==0.1.5 (numpy 2.4.6)
# Guess: cka(..., estimator="song") is the unbiased CKA: the unbiased HSIC of two layers over the root of their unbiased HSIC with
#   themselves, as cka's documentation ("estimator type for CKA computation") and repsim.hsic say. Of a layer and its copy it is 1.
# Behaviour: The numerator is that estimator, the denominator always the biased one ("gretton"); the diagonal is set to 1. The fewer
#   images for the width, the lower is the value. "lange" does the same. No issue on it was found.
# Seen (a layer of 768 features, its copy, and 64 features that are linear in 100 of them; 300 and 1,000 images):
#   estimator song: copy 0.284 0.565; other layer 0.117 0.165; by hand from repsim.hsic 1.000 1.000; 0.234 0.223
#   estimator lange: copy 0.286 0.566; other layer 0.118 0.165; by hand from repsim.hsic 1.000 1.000; 0.235 0.223
#   estimator gretton: copy 1.000 1.000; other layer 0.405 0.292; by hand from repsim.hsic 1.000 1.000; 0.405 0.292
# Why it matters: The unbiased estimator is chosen for small samples, where the error is largest: a student that equals its teacher
#   has a CKA of 0.28, and 0.57 with more images. The ones on the diagonal look right. Divide repsim.hsic's values instead.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv venv -q venv
uv pip install -q --python venv/bin/python numpy==2.4.6 repsim==0.1.5
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
venv/bin/python -W ignore - <<'PYTHON'
import numpy
import repsim


def unbiased(first, second):
    """The U-statistic of Song et al. for linear kernels, written out."""
    count = len(first)
    one, two = (matrix @ matrix.T * (1 - numpy.eye(count)) for matrix in (first, second))
    both = one.sum() * two.sum() / (count - 1) / (count - 2) - 2 / (count - 2) * one.sum(0) @ two.sum(0)
    return ((one * two).sum() + both) / count / (count - 3)


def layers(images):
    random = numpy.random.default_rng(0)
    layer = random.normal(size=(images, 768))
    return layer, layer.copy(), layer[:, :100] @ random.normal(size=(100, 64))


for estimator in ("song", "lange", "gretton"):
    given, divided = [], []
    for images in (300, 1000):
        three = layers(images)
        matrix = repsim.cka(three, kernel_type="linear", estimator=estimator)
        given.append((matrix[0, 1], matrix[0, 2]))
        assert numpy.allclose(numpy.diag(matrix), 1)
        hsic = repsim.hsic(three, kernel_type="linear", estimator=estimator)
        root = numpy.sqrt(numpy.diag(hsic))
        divided.append(tuple((hsic / root / root[:, None])[0, 1:]))
        biased = numpy.diag(repsim.hsic(three, kernel_type="linear", estimator="gretton")) ** 0.5
        assert numpy.allclose(matrix[0, 1:], hsic[0, 1:] / biased[0] / biased[1:]), "the denominator is gretton's"
        if estimator == "song":
            assert numpy.isclose(hsic[0, 2], unbiased(three[0], three[2])) and numpy.isclose(hsic[0, 0], unbiased(three[0], three[0]))
    (copy, other), (right, beside) = zip(*given), zip(*divided)
    words = [" ".join(f"{value:.3f}" for value in values) for values in (copy, other, right, beside)]
    print(f"estimator {estimator}: copy {words[0]}; other layer {words[1]}; by hand from repsim.hsic {words[2]}; {words[3]}")
    assert numpy.allclose(right, 1)
    assert copy[0] < 0.3 and copy[1] < 0.85 if estimator != "gretton" else numpy.allclose(copy, 1)
PYTHON
