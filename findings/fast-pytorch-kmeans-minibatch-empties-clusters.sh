#!/usr/bin/env bash
# fast-pytorch-kmeans==0.2.2 (torch 2.15.0)
# Guess: KMeans(minibatch=n) moves the centroids that a minibatch hits, as scikit-learn's MiniBatchKMeans does, and leaves the others;
#   fit_predict returns the labels of all samples, as its docstring says (shape [n_samples]).
# Behaviour: A centroid that no sample of a minibatch is nearest to gets the mean of nothing: NaN, which becomes 0. It is pulled
#   to zero, wholly if none was before either, else by 10 % at least, and loses its samples for good. fit_predict returns the labels
#   of the last minibatch. No documentation or issue on it was found.
# Seen (20,000 unit-length embeddings of 200 classes with a common mean; 200 clusters: those in use, centroids shorter than a half,
#   adjusted Rand index of predict's labels, number of labels that fit_predict returns):
#   scikit-learn, minibatch 256         in use 198, short   0, Rand 0.91, labels 20000
#   fast-pytorch-kmeans, no minibatch   in use 200, short   0, Rand 0.83, labels 20000
#   fast-pytorch-kmeans, minibatch 1024 in use 164, short  36, Rand 0.83, labels 1024
#   fast-pytorch-kmeans, minibatch 256  in use  42, short 158, Rand 0.21, labels 256
# Why it matters: Pseudo-labels, prototypes and picks of a diverse subset come from a few clusters, the fewer the smaller the minibatch
#   is. Use no minibatch, and look at the centroids' norms; call predict afterwards.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv venv -q venv
uv pip install -q --python venv/bin/python torch==2.15.0 numpy==2.4.6 scikit-learn==1.9.1 psutil==7.2.2 fast-pytorch-kmeans==0.2.2
export OMP_NUM_THREADS=1
venv/bin/python -W ignore - 2>log <<'PYTHON'
import numpy
import torch
from fast_pytorch_kmeans import KMeans
from sklearn.cluster import MiniBatchKMeans
from sklearn.metrics import adjusted_rand_score
from torch.nn.functional import normalize

torch.manual_seed(0)
classes = torch.randint(0, 200, (20000,))
centres = normalize(torch.randn(200, 64) + 2 * torch.randn(64), dim=1)
embeddings = normalize(centres[classes] + 0.03 * torch.randn(20000, 64), dim=1)


def show(title, centroids, labels, returned):
    used, short = len(numpy.unique(labels)), int((numpy.linalg.norm(centroids, axis=1) < 0.5).sum())
    score = adjusted_rand_score(classes, labels)
    print(f"{title:36}in use {used:3}, short {short:3}, Rand {score:.2f}, labels {returned}")
    return used, short, score, returned


def cluster(title, minibatch):
    torch.manual_seed(0)
    numpy.random.seed(0)
    model = KMeans(n_clusters=200, minibatch=minibatch, init_method="kmeans++")
    returned = model.fit_predict(embeddings)
    return show(title, model.centroids.numpy(), model.predict(embeddings).numpy(), len(returned))


other = MiniBatchKMeans(200, batch_size=256, n_init=1, random_state=0).fit(embeddings.numpy())
right = show("scikit-learn, minibatch 256", other.cluster_centers_, other.labels_, len(other.labels_))
whole = cluster("fast-pytorch-kmeans, no minibatch", None)
large = cluster("fast-pytorch-kmeans, minibatch 1024", 1024)
small = cluster("fast-pytorch-kmeans, minibatch 256", 256)
assert min(right[0], whole[0]) > 190 and right[1] == whole[1] == 0 and min(right[2], whole[2]) > 0.7
assert right[3] == whole[3] == 20000 and large[3] == 1024 and small[3] == 256
assert small[0] < 100 and small[1] > 100 and small[2] < 0.5 and large[1] > 0
PYTHON
