"""DINO (Caron et al., 2104.14294): a self-distilled ViT. Its feature is the CLS token, never a pooler.

``ViTModel.pooler_output`` of transformers is a randomly initialised layer for DINO's checkpoints; this
loader goes through timm, which has no pooler.
"""

import timm
from torch import Tensor, nn

from teachers import Weights
from teachers._timm import TimmViT, load_model

KIND = "classification"
FULL = "vit_base_patch16_224.dino"
SIDES = {None: 32, "tiny-imagenet": 64}  # of the pocket teachers, by what they were trained on


def build_pocket(side: int = 32) -> nn.Module:
    """ViT 96 wide, 4 deep, patch 8, for images of ``side`` pixels."""
    return timm.create_model(
        "vit_base_patch16_224", num_classes=0, img_size=side, patch_size=8, embed_dim=96, depth=4, num_heads=4,
        dynamic_img_size=True, pretrained_cfg_overlay={"crop_pct": 1.0},
    )  # fmt: skip


class Dino(TimmViT):
    """CLS and patch tokens."""

    def pool(self, tokens: Tensor, attention: Tensor) -> tuple[Tensor, Tensor]:
        return tokens[:, 0], attention[:, 0]


def load(weights: Weights) -> Dino:
    return Dino(*load_model("dino", FULL, build_pocket, SIDES, weights))
