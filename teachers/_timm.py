"""What dino and beit share: a ViT of timm, of pocket size or with pretrained weights, and its features."""

import math
from collections.abc import Callable
from pathlib import Path

import timm
import torch
from torch import Tensor, nn

from teachers import (
    ImageFeatures,
    Weights,
    attention_of,
    load_pocket,
    prepare,
    random_like,
    to_patches,
    transform_of,
    unit,
)
from teachers._hub import FILES, Source, check_facts, fill, locate, provenance, read_config, read_tensors

POSITIONS = r"blocks\.\d+\.attn\.relative_position_index"  # timm once saved them; now it computes them
HEAD = r"head\.(weight|bias)"


class TimmViT(nn.Module):
    """A timm ViT and its tokens as the model itself leaves them; a teacher says in ``pool`` what its pooled feature is."""

    scale = 1 / 0.07  # the temperature of DINO's own k-NN protocol
    reduce_to = None
    tokenizer = None

    def __init__(self, model: nn.Module, provenance: dict | None = None):
        super().__init__()
        self.model, self.provenance = model, provenance
        self.size = model.patch_embed.img_size[0]
        self.transform = published(model, self.size)
        self.model.blocks[-1].attn.fused_attn = False

    def vision(self) -> nn.Module:
        return self.model

    def pool(self, tokens: Tensor, attention: Tensor) -> tuple[Tensor, Tensor]:
        """The pooled feature ``[B, D]`` of tokens ``[B, 1 + P, D]``, CLS first, and the attention ``[B, 1 + P]`` behind it.

        ``attention [B, 1 + P, 1 + P]`` is the last layer's, mean over heads.
        """
        raise NotImplementedError

    @torch.no_grad()
    def image(self, pixels: Tensor) -> ImageFeatures:
        with attention_of(self, self.model.blocks[-1].attn.attn_drop) as maps:
            tokens = self.model.forward_features(prepare(pixels, **self.transform))
        pooled, rows = self.pool(tokens, maps[0].float().mean(dim=1))
        return ImageFeatures(pooled, tokens[:, 1:], to_patches(rows), unit(pooled))


def published(model: nn.Module, size: int) -> dict:
    """The transform of timm's own evaluation at ``size`` pixels, as ``timm.data.create_transform`` builds it."""
    facts = model.pretrained_cfg
    short_side = math.floor(size / facts["crop_pct"])
    return transform_of(size, facts["mean"], facts["std"], facts["interpolation"], short_side)


def build_full(name: str) -> nn.Module:
    """timm's model called ``name`` without classifier and weights, with the preprocessing of the pretrained one."""
    return timm.create_model(name, num_classes=0)


def load_model(
    teacher: str, name: str, build_pocket: Callable[[int], nn.Module], sides: dict, weights: Weights
) -> tuple[nn.Module, dict]:
    """The model of ``teacher`` with its weights, and their provenance.

    ``name`` is timm's of the full-size one; ``build_pocket`` is given the input side, from ``sides`` by what pocket weights
    were trained on. Raises :class:`WeightsError` where the weights cannot be had or do not fit.
    """
    if weights.is_pocket:
        side = sides[weights.trained_on]
        return load_pocket(random_like(lambda: build_pocket(side)), teacher, "timm", weights)
    model = random_like(lambda: build_full(name))
    if weights.kind == "random":
        return model, provenance("timm", name, "random")
    expected = model.pretrained_cfg
    checkpoint = locate(Source(teacher, expected["hf_hub_id"], FILES, path=weights.path, revision=weights.revision))
    _check_config(teacher, checkpoint.file.parent / "config.json", expected)
    tensors = read_tensors(checkpoint.file)
    fill(model, tensors, teacher, checkpoint.file, ignored=_ignored(tensors, expected["num_classes"]))
    return model, checkpoint.provenance("timm", name)


def _ignored(tensors: dict[str, Tensor], classes: int) -> str:
    """Names that have no place in a model without a head: positions, and the head over the classes trained on.

    A head over other classes is another checkpoint's; DINO has none.
    """
    head = tensors.get("head.weight")
    return f"{POSITIONS}|{HEAD}" if head is not None and head.shape[:1] == (classes,) else POSITIONS


def _check_config(teacher: str, file: Path, expected: dict) -> None:
    """Compare timm's ``config.json``, where one lies beside the weights, with what timm says of the model."""
    content = read_config(file)
    facts = content.get("pretrained_cfg") or content
    names = ("tag", "mean", "std", "interpolation", "crop_pct")
    check_facts(teacher, file, {name: (facts.get(name), expected[name]) for name in names})
