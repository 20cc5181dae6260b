"""Any image model of timm as a teacher: its own pooled output, its grid of patches, its own preprocessing."""

import math

import torch
from torch import Tensor, nn

from bench.declared import LibraryModel
from teachers import ImageFeatures, Weights, WeightsError, prepare, random_like, transform_of, unit
from teachers._hub import provenance
from teachers._library import layout


class TimmTeacher(nn.Module):
    """A timm model without its classifier."""

    scale = 1 / 0.07  # the temperature of DINO's own k-NN protocol
    reduce_to = None
    tokenizer = None

    def __init__(self, model: nn.Module, transform: dict, provenance: dict | None = None):
        super().__init__()
        self.model, self.transform, self.provenance = model, transform, provenance
        self.size = transform["size"]

    def vision(self) -> nn.Module:
        return self.model

    @torch.no_grad()
    def image(self, pixels: Tensor) -> ImageFeatures:
        features = self.model.forward_features(prepare(pixels, **self.transform))
        pooled = self.model.forward_head(features)
        grid = layout(
            features.shape, getattr(self.model, "num_prefix_tokens", None), getattr(self.model, "output_fmt", None)
        )
        return ImageFeatures(pooled, grid and grid.patches(features), None, unit(pooled))


def load(name: str, model: LibraryModel, weights: Weights) -> TimmTeacher:
    if weights.is_pocket:
        raise ValueError(f"teacher {name} has no pocket weights; it is for profiles with pretrained or random ones")
    if weights.kind == "pretrained":
        raise WeightsError("not yet")
    built = random_like(lambda: build(model))
    return TimmTeacher(built, transform(built.pretrained_cfg, model), provenance("timm", model.name, "random"))


def build(model: LibraryModel) -> nn.Module:
    """timm's model without classifier and weights, at the size that is asked for."""
    import timm

    options = {"num_classes": 0}
    size = model.size or timm.get_pretrained_cfg(model.name).input_size[-1]
    try:
        return timm.create_model(model.name, **options, img_size=size)
    except TypeError:  # one that takes any size
        return timm.create_model(model.name, **options)


def transform(facts: dict, model: LibraryModel) -> dict:
    """The transform of timm's own evaluation, as ``timm.data.create_transform`` builds it from these facts."""
    size = model.size or facts["input_size"][-1]
    short_side = math.floor(size / (model.crop or facts["crop_pct"]))
    return transform_of(size, facts["mean"], facts["std"], facts["interpolation"], short_side)
