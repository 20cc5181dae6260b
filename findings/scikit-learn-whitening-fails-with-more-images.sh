#!/usr/bin/env bash
# scikit-learn==1.9.1 (numpy 2.4.6)
# Guess: PCA(whiten=True) of float32 features is more exact the more images it is fitted with.
# Behaviour: With ten images per dimension or more, and up to 1,000 dimensions, the default solver is covariance_eigh. It subtracts the
#   mean from the finished product of the features with themselves. In float32 a few channels with a large mean wipe out the small
#   variances, which become 0, and whitening divides by almost 0: some components of new images are a hundred thousand times too large.
#   One image fewer, svd_solver="full", float64, or features that are centred before are all right. The documentation has the
#   rule, says that the solver is less stable for singular values of a large range, and that it takes the covariance of centred data,
#   which it does not. Issue 29534, on whitening of data of low rank, is open.
# Seen (features of 64 dimensions and 20 classes with variances of 1 to 0.0001, 8 channels with a mean of 30; accuracy of the nearest of
#   1,280 images by cosine of whitened features, and the largest value of 500 new images):
#   639 images:                          99.4%, 4
#   640 images:                          5.6%, 463896
#   1280 images:                         9.4%, 464992
#   1280 images, svd_solver="full":      99.2%, 4
#   1280 images in float64:              99.2%, 4
#   1280 images, centred before:         99.2%, 4
# Why it matters: Teachers such as ViTs have a few channels with huge means, and whitened features are usual for retrieval and as targets.
#   A trial with some hundred images is fine; with all images the same lines give noise, without a warning.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv venv -q venv
uv pip install -q --python venv/bin/python numpy==2.4.6 scikit-learn==1.9.1
export OMP_NUM_THREADS=1
venv/bin/python - <<'PYTHON'
import warnings

import numpy as np
from sklearn.decomposition import PCA

warnings.simplefilter("error")
dimensions, classes = 64, 20
random = np.random.default_rng(0)
scale = np.logspace(0, -2, dimensions)
turn = np.linalg.qr(random.normal(size=(dimensions, dimensions)))[0]
centers = random.normal(size=(classes, dimensions)) * scale
mean = np.where(np.arange(dimensions) < 8, 30, 0)


def draw(count):
    labels = np.arange(count) % classes
    features = centers[labels] + 0.7 * random.normal(size=(count, dimensions)) * scale
    return (features @ turn + mean).astype(np.float32), labels


gallery, known = draw(1280)
images, labels = draw(500)


def judge(title, fitted, shift=0.0, **given):
    pca = PCA(whiten=True, **given).fit(fitted - shift)
    ours, theirs = (pca.transform((one - shift).astype(fitted.dtype)) for one in (images, gallery))
    largest = np.abs(ours).max()
    ours, theirs = (one / np.linalg.norm(one, axis=1, keepdims=True) for one in (ours, theirs))
    right = (known[(ours @ theirs.T).argmax(axis=1)] == labels).mean()
    print(f"{title + ':':36} {right:.1%}, {largest:.0f}")
    return right, largest


few = judge("639 images", gallery[:639])
lost = judge("640 images", gallery[:640]), judge("1280 images", gallery)
middle = gallery.mean(axis=0, dtype=np.float64).astype(np.float32)
exact = [
    judge('1280 images, svd_solver="full"', gallery, svd_solver="full"),
    judge("1280 images in float64", gallery.astype(np.float64)),
    judge("1280 images, centred before", gallery, middle),
]
assert few[0] > 0.95 and all(right > 0.95 and largest < 100 for right, largest in exact)
assert all(right < 0.5 and largest > 1000 for right, largest in lost)
PYTHON
