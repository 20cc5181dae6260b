"""BEiT (Bao et al., 2106.08254): masked image modelling, then fine-tuned on labels.

The full-size checkpoint was fine-tuned on ImageNet-22k labels, so as a teacher it has seen labels that
dino has not; reports say so. Its feature is its own pooling: the mean over patches, normalised. Its datasets are of
square pictures, which are resized whole; BEiT's own evaluation cuts out the central part.
"""

import torch
from torch import Tensor, nn

from teachers import (
    ImageFeatures,
    Weights,
    attention_of,
    load_pocket,
    pocket_side,
    prepare,
    random_like,
    to_patches,
    transform_of,
    unit,
)
from teachers._timm import load_full

KIND = "classification"
FULL = "beit_base_patch16_224.in22k_ft_in22k"
SIDES = {None: 32, "tiny-imagenet": 64}  # of the pocket teachers, by what they were trained on
SCALE = 1 / 0.07


def build_pocket(side: int = 32) -> nn.Module:
    """BEiT 96 wide, 4 deep, 8 x 8 patches of an image of ``side`` pixels."""
    import timm

    return timm.create_model(
        "beit_base_patch16_224", num_classes=0, img_size=side, patch_size=side // 8, embed_dim=96, depth=4,
        num_heads=4,
    )  # fmt: skip


def build_full() -> nn.Module:
    """timm's BEiT-B/16 without weights."""
    import timm

    return timm.create_model(FULL, num_classes=0)


class Beit(nn.Module):
    """Mean-pooled patches and patch tokens of a timm BEiT."""

    scale = SCALE
    reduce_to = None
    crop = False
    tokenizer = None

    def __init__(self, model: nn.Module, provenance: dict | None = None):
        super().__init__()
        self.model, self.provenance = model, provenance
        facts = model.pretrained_cfg
        self.size = model.patch_embed.img_size[0]
        self.transform = transform_of(self.size, facts["mean"], facts["std"], facts["interpolation"])
        self.model.blocks[-1].attn.fused_attn = False

    def vision(self) -> nn.Module:
        return self.model

    @torch.no_grad()
    def image(self, pixels: Tensor) -> ImageFeatures:
        with attention_of(self.model.blocks[-1].attn.attn_drop) as maps:
            tokens = self.model.forward_features(prepare(pixels, **self.transform))
        pooled = self.model.forward_head(tokens, pre_logits=True)
        # The pooled feature is a mean over patches, so its attention is the mean over the patches' rows.
        rows = maps[0].float().mean(dim=1)[:, 1:].mean(dim=1)
        return ImageFeatures(pooled, tokens[:, 1:], to_patches(rows), unit(pooled))


def load(weights: Weights) -> Beit:
    if weights.is_pocket:
        side = pocket_side("beit", weights.trained_on, SIDES)
        model = random_like(lambda: build_pocket(side))
        return Beit(*load_pocket(model, "beit", "timm", weights))
    return Beit(*load_full(random_like(build_full), "beit", FULL, weights))
