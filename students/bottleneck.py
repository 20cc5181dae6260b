"""Bottleneck (basic block): Linear, ReLU, Linear on the teacher's pooled feature, for images and captions alike."""

from torch import nn

from students import Dims, bottleneck_head

READS = "pooled"
TEXT_READS = "pooled"
LOSS = {"classification": "logit-matching", "captions": "logit-matching"}


def image_tower(dims: Dims) -> nn.Module:
    return bottleneck_head(dims.features, dims)


def text_tower(dims: Dims) -> nn.Module:
    return bottleneck_head(dims.features, dims)
