"""DenseNet-121 (Huang et al., 1608.06993) on the image itself, then a bottleneck; captions through a bottleneck.

It needs no teacher at inference. At pocket size the trunk has blocks of 2, 3, 3 and 2 layers, growth 12, and no
max-pooling after the stem, since its images have 32 pixels.
"""

from torch import nn

from students import Dims, FromPixels, bottleneck_head

READS = "pixels"
MAP = True
TEXT_READS = "pooled"
LOSS = {"classification": "logit-matching", "captions": "combined"}


def image_tower(dims: Dims) -> nn.Module:
    import timm

    if dims.trunk == "full":
        return FromPixels(timm.create_model("densenet121", num_classes=0), dims)
    trunk = timm.create_model("densenet121", num_classes=0, growth_rate=12, block_config=(2, 3, 3, 2))
    trunk.features.pool0 = nn.Identity()
    return FromPixels(trunk, dims)


def text_tower(dims: Dims) -> nn.Module:
    return bottleneck_head(dims.features, dims)
