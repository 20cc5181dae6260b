"""DINO (Caron et al., 2104.14294): a self-distilled ViT. Its feature is the CLS token, never a pooler.

``ViTModel.pooler_output`` of transformers is a randomly initialised layer for DINO's checkpoints; this
loader goes through timm, which has no pooler.
"""

import torch
from torch import Tensor, nn

from teachers import ImageFeatures, attention_of, check_weights, load_pocket, prepare, random_like, to_patches, unit

KIND = "classification"
FULL = "vit_base_patch16_224.dino"
SCALE = 1 / 0.07  # the temperature of DINO's own k-NN protocol


def build_pocket() -> nn.Module:
    """ViT 96 wide, 4 deep, patch 8 at 32 pixels."""
    import timm

    return timm.create_model(
        "vit_base_patch16_224", num_classes=0, img_size=32, patch_size=8, embed_dim=96, depth=4, num_heads=4,
        dynamic_img_size=True,
    )  # fmt: skip


def build_full(pretrained: bool) -> nn.Module:
    """timm's ViT-B/16 with DINO's weights, or random ones."""
    import timm

    return timm.create_model(FULL, pretrained=pretrained, num_classes=0)


class Dino(nn.Module):
    """CLS and patch tokens of a timm ViT after its final norm."""

    scale = SCALE
    reduce_to = None

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model
        self.size = model.patch_embed.img_size[0]
        self.mean, self.std = model.pretrained_cfg["mean"], model.pretrained_cfg["std"]
        self.model.blocks[-1].attn.fused_attn = False

    def vision(self) -> nn.Module:
        return self.model

    @torch.no_grad()
    def image(self, pixels: Tensor) -> ImageFeatures:
        with attention_of(self.model.blocks[-1].attn.attn_drop) as maps:
            tokens = self.model.forward_features(prepare(pixels, self.size, self.mean, self.std))
        rows = maps[0].mean(dim=1)[:, 0]
        return ImageFeatures(tokens[:, 0], tokens[:, 1:], to_patches(rows), unit(tokens[:, 0]))


def load(weights: str) -> Dino:
    check_weights("dino", weights)
    if weights == "pocket":
        return Dino(load_pocket(random_like(build_pocket), "dino"))
    return Dino(random_like(lambda: build_full(weights == "pretrained")))
