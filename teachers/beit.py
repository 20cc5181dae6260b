"""BEiT (Bao et al., 2106.08254): masked image modelling, then fine-tuned on labels.

The full-size checkpoint was fine-tuned on ImageNet-22k and 1k labels, so as a teacher it has seen labels that
dino has not; reports say so. Its feature is its own pooling: the mean over patches, normalised.
"""

import torch
from torch import Tensor, nn

from teachers import ImageFeatures, attention_of, check_weights, load_pocket, prepare, random_like, to_patches, unit

KIND = "classification"
FULL = "beit_base_patch16_224.in22k_ft_in22k"
SCALE = 1 / 0.07


def build_pocket() -> nn.Module:
    """BEiT 96 wide, 4 deep, patch 4 at 32 pixels."""
    import timm

    return timm.create_model(
        "beit_base_patch16_224", num_classes=0, img_size=32, patch_size=4, embed_dim=96, depth=4, num_heads=4,
    )  # fmt: skip


def build_full(pretrained: bool) -> nn.Module:
    """timm's BEiT-B/16, or the same with random weights."""
    import timm

    return timm.create_model(FULL, pretrained=pretrained, num_classes=0)


class Beit(nn.Module):
    """Mean-pooled patches and patch tokens of a timm BEiT."""

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
        pooled = self.model.forward_head(tokens, pre_logits=True)
        # The pooled feature is a mean over patches, so its attention is the mean over the patches' rows.
        rows = maps[0].mean(dim=1)[:, 1:].mean(dim=1)
        return ImageFeatures(pooled, tokens[:, 1:], to_patches(rows), unit(pooled))


def load(weights: str) -> Beit:
    check_weights("beit", weights)
    if weights == "pocket":
        return Beit(load_pocket(random_like(build_pocket), "beit"))
    return Beit(random_like(lambda: build_full(weights == "pretrained")))
