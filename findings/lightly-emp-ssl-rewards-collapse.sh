#!/usr/bin/env bash
# lightly==1.6.0 (torch 2.15.0)
# Guess: EMPSSLLoss pulls the views of an image together and keeps the images apart: its total coding rate is largest where the embeddings
#   fill all directions, and the loss rewards that, as the paper and the authors' code do, which subtract the rate.
# Behaviour: The rate is added. Both terms are least where all images have one embedding, or none of length. Nothing is logged; the
#   docstring only says that the loss is a combination of the two terms, and no issue on it was found.
# Seen (256 images of 8 classes, 4 views of each, an embedding of unit length in 16 dimensions, 300 steps; the loss, the mean cosine of
#   different images, how many of the nearest neighbours have the image's class):
#   untrained:                 -191.40, 0.361, 100%
#   EMPSSLLoss:                -197.79, 1.000, 37%
#   cosine alone:              -197.57, 0.994, 100%
#   the rate subtracted:       -190.19, 0.117, 100%
#   tcr_loss: one embedding for all images 2.2, spread over the sphere 14.2
# Why it matters: A student or teacher that is trained without labels by this loss collapses by design, faster than with the cosine alone,
#   while its loss falls as it should. Take invariance_loss and tcr_loss from the same module, and subtract the latter.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv venv -q venv
uv pip install -q --python venv/bin/python torch==2.15.0 torchvision==0.29.2 numpy==2.4.6 lightly==1.6.0
export OMP_NUM_THREADS=1 LIGHTLY_DID_VERSION_CHECK=True
venv/bin/python -W ignore - <<'PYTHON'
import torch
from lightly.loss import EMPSSLLoss
from lightly.loss.emp_ssl_loss import invariance_loss, tcr_loss
from torch import nn

CLASSES, IMAGES = 8, 256
torch.manual_seed(0)
labels = torch.arange(IMAGES) % CLASSES
images = torch.randn(CLASSES, 20)[labels] + 0.3 * torch.randn(IMAGES, 20)
loss = EMPSSLLoss()


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 16))

    def forward(self, images):
        return nn.functional.normalize(self.layers(images), dim=-1)


def measure(model):
    with torch.no_grad():
        embeddings = model(images)
        cosines = embeddings @ embeddings.T - 2 * torch.eye(IMAGES)
        different = (cosines.sum() + IMAGES) / (IMAGES * (IMAGES - 1))
        nearest = (labels[cosines.argmax(dim=1)] == labels).float().mean()
        value = loss([model(images)] * 4)
    return value.item(), different.item(), nearest.item()


def train(title, objective):
    torch.manual_seed(1)
    model = Encoder()
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    for _ in range(300 if objective else 0):
        views = [model(images + 0.3 * torch.randn_like(images)) for _ in range(4)]
        optimizer.zero_grad()
        objective(views).backward()
        optimizer.step()
    value, different, nearest = measure(model)
    print(f"{title + ':':26} {value:7.2f}, {different:.3f}, {nearest:.0%}")
    return value, different, nearest


before = train("untrained", None)
after = train("EMPSSLLoss", loss)
alone = train("cosine alone", lambda views: 200 * invariance_loss(torch.stack(views)))
subtracted = train("the rate subtracted", lambda views: 200 * invariance_loss(torch.stack(views)) - tcr_loss(torch.stack(views), 0.2))
apart = nn.functional.normalize(torch.randn(4, IMAGES, 16), dim=-1)
one = apart[:, :1].expand(4, IMAGES, 16)
print(f"tcr_loss: one embedding for all images {tcr_loss(one, 0.2):.1f}, spread over the sphere {tcr_loss(apart, 0.2):.1f}")
assert tcr_loss(one, 0.2) < tcr_loss(apart, 0.2)
assert after[0] < before[0] < subtracted[0] + 20 and after[1] > 0.99 > 0.3 > subtracted[1]
assert after[2] < 0.9 * subtracted[2]
PYTHON
