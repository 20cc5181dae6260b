"""Any image model of timm as a teacher: its own pooled output, its grid of patches, its own preprocessing."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import timm
import torch
from timm.models import PretrainedCfg, clean_state_dict
from torch import Tensor, nn

from bench.declared import LibraryModel
from bench.kit.errors import unknown_name
from teachers import Weights, WeightsError, random_like, transform_of
from teachers._hub import FILES, Source, beside, locate, provenance, read_config, read_part
from teachers._library import Facts, LibraryTeacher, UnfitError, Watch, layout
from teachers.libraries import describe as described

CONFIG = "config.json"
INSIDE = ("state_dict_ema", "model_ema", "state_dict", "model")  # where training scripts put a state dict, timm's order
LINES = 12  # of what PyTorch says of tensors that do not fit


class TimmTeacher(LibraryTeacher):
    """A timm model without its classifier."""

    def __init__(self, model: nn.Module, facts: Facts, transform: dict, pool: str, provenance: dict | None = None):
        super().__init__(model, facts, transform, provenance)
        self.pool = pool

    def outputs(self, inputs: Tensor) -> tuple[Tensor, Tensor | None, Tensor]:
        features = self.model.forward_features(inputs)
        pooled = pool(self.model, features, self.facts.layout, self.pool)
        grid = self.facts.layout
        return pooled, grid and grid.patches(features), pooled


def pool(model: nn.Module, features: Tensor, grid, kind: str) -> Tensor:
    """The pooled feature: the model's own, or the first token or the mean of the patches as its last layer leaves them."""
    if kind == "token":
        return features[:, 0]
    return grid.patches(features).mean(dim=1) if kind == "avg" else model.forward_head(features)


def load(name: str, model: LibraryModel, weights: Weights) -> TimmTeacher:
    """Raises :class:`WeightsError` where the weights cannot be had or do not fill the model."""
    configured = configuration(model, weights.path)
    facts, built = described(model, weights.path), random_like(lambda: build(model, configured))
    origin = provenance("timm", model.name, "random")
    if weights.kind == "pretrained":
        origin = _fill(name, built, model, configured, weights)
    return TimmTeacher(built, facts, transform(configured, model), _pool(built, model), origin)


def describe(model: LibraryModel, path: Path | None = None) -> Facts:
    """See :func:`teachers.libraries.describe`."""
    facts = configuration(model, path)
    _, height, width = facts.input_size
    if facts.crop_mode == "border" or height != width:
        raise UnfitError("timm", f"{model.name} reads no squares, or pads pictures, which the suite does not")
    size = model.size or height
    try:
        with torch.device("meta"), torch.no_grad():
            built, image = build(model, facts).eval(), torch.empty(1, 3, size, size)
            features = built.forward_features(image)
            pooled = built.forward_head(features)
    except Exception as error:  # whatever a model of 1,300 raises at a size that it was not made for
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise UnfitError(
            "size" if model.size else "timm", f"{model.name} does not run at {size} px ({reason})"
        ) from None
    if pooled.ndim != 2:
        raise UnfitError("timm", f"{model.name} does not give one vector for an image")
    patch = getattr(getattr(built, "patch_embed", None), "patch_size", None)
    if isinstance(patch, tuple | list) and size % patch[0]:
        raise UnfitError("size", f"{size} px are no multiple of the patches of {model.name}, {patch[0]} px")
    grid, kind, own = _grid(built, features), _pool(built, model), own_pool(built)
    possible = {"token": grid and grid.before, "avg": grid, "own": True}
    if not possible[kind]:
        raise UnfitError("pool", f"{model.name} has no {kind} pooling; its own is '{own}'")
    if kind != "own":
        pooled = pool(built, features, grid, kind)
    attention = "none"
    if grid:
        with torch.device("meta"), torch.no_grad(), Watch(grid, 1) as watch:
            built.forward_head(built.forward_features(image))
        attention = "exact" if watch.last else "substitute"
    # A distilled model's own output is the mean of its two tokens.
    rows = kind if kind != "own" else "tokens" if own == "token" and hasattr(built, "dist_token") else own
    return Facts(size, pooled.shape[1], grid, rows, attention, facts.license)


def configuration(model: LibraryModel, path: Path | None = None) -> PretrainedCfg:
    """timm's pretrained configuration of the model, or what ``config.json`` beside a local checkpoint says.

    Raises :class:`UnfitError` for a name that timm does not have, and a config of another architecture.
    """
    architecture, _, tag = model.name.partition(".")
    known = timm.list_models(pretrained=True) if tag else timm.list_models()
    if not timm.is_model(architecture) or (tag and model.name not in known):
        raise UnfitError("timm", unknown_name(model.name, known))
    facts = timm.get_pretrained_cfg(model.name) or PretrainedCfg(**timm.create_model(model.name).pretrained_cfg)
    content = read_config(beside(path, CONFIG)) if path else {}
    if content.get("architecture", architecture) != architecture:
        raise UnfitError("path", f"{beside(path, CONFIG)} is of {content['architecture']}, not of {architecture}")
    own = content.get("pretrained_cfg") or {}
    known = {
        name: own[name]
        for name in ("input_size", "interpolation", "crop_pct", "crop_mode", "mean", "std", "license")
        if own.get(name)
    }
    return PretrainedCfg(
        **vars(facts) | {name: tuple(value) if isinstance(value, list) else value for name, value in known.items()}
    )


def build(model: LibraryModel, facts: PretrainedCfg, **options: Any) -> nn.Module:
    """timm's model without classifier and weights, built for its size where its weights depend on that."""
    if facts.fixed_input_size:
        options["img_size"] = model.size or facts.input_size[-1]
    return timm.create_model(model.name, **{"num_classes": 0} | options)


def transform(facts: PretrainedCfg, model: LibraryModel) -> dict:
    """The transform of timm's own evaluation, as ``timm.data.create_transform`` builds it from these facts."""
    size = model.size or facts.input_size[-1]
    resized = math.floor(size / (model.crop or facts.crop_pct))
    side = {"squash": resized} if facts.crop_mode == "squash" else {"short_side": resized}
    return transform_of(size, facts.mean, facts.std, facts.interpolation, **side)


def _grid(model: nn.Module, features: object):
    before, form = getattr(model, "num_prefix_tokens", None), getattr(model, "output_fmt", None)
    return layout(features.shape, before, form) if isinstance(features, Tensor) else None


def own_pool(built: nn.Module) -> str:
    """timm's name of the model's own pooling; "avg" where it has no name."""
    head = (
        built.global_pool
        if hasattr(built, "global_pool")
        else getattr(getattr(built, "head", None), "global_pool", None)
    )
    return head if isinstance(head, str) and head else getattr(head, "pool_type", None) or "avg"


def _pool(built: nn.Module, model: LibraryModel) -> str:
    """How the feature is made: "own" also where what is asked for is the model's own."""
    return "own" if model.pool in ("own", own_pool(built)) else model.pool


def _fill(name: str, built: nn.Module, model: LibraryModel, facts: PretrainedCfg, weights: Weights) -> dict:
    """Fill the model with its pretrained weights; their provenance."""
    if not weights.path and not facts.hf_hub_id:
        raise WeightsError(
            f"teacher {name}: timm has no weights of {model.name} on the hub"
            + (
                f"; download them from {facts.url} and give their path: in matrix.yaml"
                if facts.url
                else "; give a path: in matrix.yaml"
            )
        )
    files = (facts.hf_hub_filename,) if facts.hf_hub_filename else FILES
    checkpoint = locate(Source(name, facts.hf_hub_id, files, path=weights.path, revision=weights.revision))
    part, tensors = read_part(checkpoint.file, INSIDE)
    tensors = _of_module(built, clean_state_dict(tensors))
    whole = _with_head(model, facts, tensors)
    if isinstance(whole, str):
        raise WeightsError(f"teacher {name}: {checkpoint.file} does not fill {model.name}, so it is refused.\n{whole}")
    filled = whole.state_dict()
    if bad := [key for key, tensor in filled.items() if not tensor.isfinite().all()]:
        raise WeightsError(f"teacher {name}: {checkpoint.file}: {len(bad)} tensors are not finite, the first {bad[0]}")
    built.load_state_dict({key: filled[key] for key in built.state_dict()})
    return checkpoint.provenance("timm", model.name, part)


def _of_module(built: nn.Module, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """The model's tensors in a checkpoint of a module that has it as an attribute, as Lightning's have; all of any other."""
    first, *rest = [name for name, _ in built.named_parameters()]
    prefixes = [name.removesuffix(first) for name in tensors if name.endswith(f".{first}")]
    whole = [prefix for prefix in prefixes if all(prefix + name in tensors for name in rest)]
    if first in tensors or len(whole) != 1:
        return tensors
    return {name.removeprefix(whole[0]): tensor for name, tensor in tensors.items() if name.startswith(whole[0])}


def _with_head(model: LibraryModel, facts: PretrainedCfg, tensors: Mapping[str, Tensor]) -> nn.Module | str:
    """The model filled by timm itself, strictly, with a classifier of as many classes as the checkpoint has; or why it
    cannot be. timm renames what other libraries saved, and resamples position embeddings to the model's size."""
    first = facts.classifier[0] if isinstance(facts.classifier, tuple | list) else facts.classifier
    head = tensors.get(f"{first}.weight")
    reasons = []
    for classes in dict.fromkeys([len(head)] if head is not None else [0, facts.num_classes]):
        overlay = {"state_dict": dict(tensors), "num_classes": classes, "label_offset": 0, "custom_load": False}
        try:
            return build(model, facts, num_classes=classes, pretrained=True, pretrained_cfg_overlay=overlay)
        except (RuntimeError, KeyError) as error:
            lines = f"{type(error).__name__}: {error}".splitlines()
            reasons.append("\n".join([*lines[:LINES], *["..."] * (len(lines) > LINES)]))
    return reasons[0]
