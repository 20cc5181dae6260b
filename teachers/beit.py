"""BEiT (Bao et al., 2106.08254): masked image modelling, then fine-tuned on labels.

The full-size checkpoint was fine-tuned on ImageNet-22k labels, so as a teacher it has seen labels that
dino has not; reports say so. Its feature is its own pooling: the mean over patches, normalised. The patches themselves
are not, as published: timm's ``norm`` is the identity where ``fc_norm`` follows the pooling, and so was Microsoft's model.
Students of tokens read both, of different lengths.
"""

import timm
from torch import Tensor, nn

from teachers import Weights
from teachers._timm import TimmViT, load_model

KIND = "classification"
NOTE = "beit's patch tokens have no final norm: as published, it follows their mean, the pooled feature"
FULL = "beit_base_patch16_224.in22k_ft_in22k"
SIDES = {None: 32, "tiny-imagenet": 64}  # of the pocket teachers, by what they were trained on


def build_pocket(side: int = 32) -> nn.Module:
    """BEiT 96 wide, 4 deep, 8 x 8 patches of an image of ``side`` pixels."""
    return timm.create_model(
        "beit_base_patch16_224", num_classes=0, img_size=side, patch_size=side // 8, embed_dim=96, depth=4,
        num_heads=4, pretrained_cfg_overlay={"crop_pct": 1.0},
    )  # fmt: skip


class Beit(TimmViT):
    """Mean-pooled patches and patch tokens."""

    def pool(self, tokens: Tensor, attention: Tensor) -> tuple[Tensor, Tensor]:
        # The pooled feature is a mean over patches, so its attention is the mean over the patches' rows.
        return self.model.forward_head(tokens, pre_logits=True), attention[:, 1:].mean(dim=1)


def load(weights: Weights) -> Beit:
    return Beit(*load_model("beit", FULL, build_pocket, SIDES, weights))
