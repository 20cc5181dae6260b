"""DINO (Caron et al., 2104.14294): a self-distilled ViT. Its feature is the CLS token, never a pooler.

``ViTModel.pooler_output`` of transformers is a randomly initialised layer for DINO's checkpoints; this
loader goes through timm, which has no pooler. Its datasets are of square pictures, which are resized whole;
DINO's own evaluation cuts out the central 224 of 256 pixels.
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
FULL = "vit_base_patch16_224.dino"
SIDES = {None: 32, "tiny-imagenet": 64}  # of the pocket teachers, by what they were trained on
SCALE = 1 / 0.07  # the temperature of DINO's own k-NN protocol


def build_pocket(side: int = 32) -> nn.Module:
    """ViT 96 wide, 4 deep, patch 8, for images of ``side`` pixels."""
    import timm

    return timm.create_model(
        "vit_base_patch16_224", num_classes=0, img_size=side, patch_size=8, embed_dim=96, depth=4, num_heads=4,
        dynamic_img_size=True,
    )  # fmt: skip


def build_full() -> nn.Module:
    """timm's ViT-B/16 without weights, with the preprocessing of DINO's."""
    import timm

    return timm.create_model(FULL, num_classes=0)


class Dino(nn.Module):
    """CLS and patch tokens of a timm ViT after its final norm."""

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
        rows = maps[0].float().mean(dim=1)[:, 0]
        return ImageFeatures(tokens[:, 0], tokens[:, 1:], to_patches(rows), unit(tokens[:, 0]))


def load(weights: Weights) -> Dino:
    if weights.is_pocket:
        side = pocket_side("dino", weights.trained_on, SIDES)
        model = random_like(lambda: build_pocket(side))
        return Dino(*load_pocket(model, "dino", "timm", weights))
    return Dino(*load_full(random_like(build_full), "dino", FULL, weights))
