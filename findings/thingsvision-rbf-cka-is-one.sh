#!/usr/bin/env bash
# thingsvision==2.7.3
# Guess: get_cka(kernel="rbf") compares two layers by Gaussian kernels whose width follows the distances between the images, as CKA's
#   paper has it. Layers that have nothing in common have a low value, and the scale of the features does not matter.
# Behaviour: The width is 1 in the features' own units, whatever they are. The images of a layer of usual width are some 40 apart, so
#   each kernel matrix is the identity: any two layers have a CKA of 1, and with unbiased=True NaN. sigma=None takes the median of the
#   distances, which no docstring says. No issue on it was found.
# Seen (300 images; two layers of 768 independent features, and one with 64 that are linear in 100 of the first; features of a standard
#   deviation of 1, 0.1 and 0.03: CKA of the independent layers, of the related ones):
#   by default:            1.000 1.000; 1.000 0.452; 0.840 0.405
#   by default, unbiased:  nan inf; 0.001 0.215; -0.002 0.227
#   sigma=None:            0.810 0.476; 0.810 0.476; 0.810 0.476
#   sigma=None, unbiased:  -0.002 0.227; -0.002 0.227; -0.002 0.227
# Why it matters: Every student equals its teacher, trained or not, and of two students the one with smaller features is the less
#   alike. Pass sigma=None and unbiased=True.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv venv -q venv
uv pip install -q --python venv/bin/python torch==2.15.0 numpy==2.4.6 torchtyping==0.1.5
uv pip install -q --python venv/bin/python --no-deps thingsvision==2.7.3
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
venv/bin/python -W ignore - <<'PYTHON'
import pathlib
import sys
import sysconfig

import numpy
import torch

# The whole package imports TensorFlow; its CKA is a package of its own that needs neither that nor models.
sys.path.insert(0, str(pathlib.Path(sysconfig.get_path("purelib")) / "thingsvision" / "core"))
from cka import get_cka


def layers(deviation):
    random = numpy.random.default_rng(0)
    first, apart = deviation * random.normal(size=(2, 300, 768))
    return first, apart, first[:, :100] @ random.normal(size=(100, 64)) / 10


def compare(title, **arguments):
    seen = []
    for deviation in (1, 0.1, 0.03):
        first, apart, related = layers(deviation)
        pair = [get_cka("numpy", 300, "rbf", **arguments).compare(first, other) for other in (apart, related)]
        with_torch = get_cka("torch", 300, "rbf", device="cpu", **arguments)
        both = [with_torch.compare(torch.from_numpy(first), torch.from_numpy(other)).item() for other in (apart, related)]
        assert numpy.allclose(pair, both, equal_nan=True), "both backends agree"
        seen.append(pair)
    print(f"{title + ':':22} {'; '.join(' '.join(f'{value:.3f}' for value in pair) for pair in seen)}")
    return numpy.array(seen)


default = compare("by default")
unbiased = compare("by default, unbiased", unbiased=True)
median = compare("sigma=None", sigma=None)
both = compare("sigma=None, unbiased", sigma=None, unbiased=True)
assert (default[0] > 0.9999).all() and default[1, 0] > 0.99 and default[1, 0] - default[2, 0] > 0.1
assert not numpy.isfinite(unbiased[0]).any()
assert numpy.ptp(median, axis=0).max() < 0.05 and numpy.abs(both[:, 0]).max() < 0.05 and both[:, 1].min() > 0.15
PYTHON
