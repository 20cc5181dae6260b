"""Simple projection: one linear layer on the teacher's pooled feature, for images and captions alike."""

from torch import nn

from students import Dims

READS = "pooled"
TEXT_READS = "pooled"
LOSS = {"classification": "logit-matching", "captions": "logit-matching"}


def image_tower(dims: Dims) -> nn.Module:
    return nn.Linear(dims.features, dims.embedding)


def text_tower(dims: Dims) -> nn.Module:
    return nn.Linear(dims.features, dims.embedding)
