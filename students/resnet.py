"""ResNet-18 (He et al., 1512.03385) on the image itself, then a bottleneck; captions through a bottleneck.

It needs no teacher at inference. At pocket size the trunk has one block per stage, 16 to 128 channels, and no
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
        return FromPixels(timm.create_model("resnet18", num_classes=0), dims)
    trunk = timm.create_model("resnet18", num_classes=0, layers=(1, 1, 1, 1), channels=(16, 32, 64, 128), stem_width=16)
    trunk.maxpool = nn.Identity()
    return FromPixels(trunk, dims)


def text_tower(dims: Dims) -> nn.Module:
    return bottleneck_head(dims.features, dims)
