"""Any model of open_clip as a teacher: images and captions in one space, as its own two encoders put them there.

A model is named with the tag of its weights, whose preprocessing is not the same for all of them. Captions are cut to the
longest of a batch only where the model shows at load that this changes nothing: SigLIP's and MobileCLIP2's text towers see
the padding. The logit bias of SigLIP is the same for all pairs and drops out of every softmax.
"""

import logging
import math
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from pathlib import Path

import open_clip
import torch
from open_clip.modified_resnet import ModifiedResNet
from open_clip.tokenizer import SimpleTokenizer, _clean_lower
from open_clip.transformer import VisionTransformer
from torch import Tensor, nn

from bench.declared import LibraryModel
from bench.kit.errors import unknown_name
from teachers import TextFeatures, Weights, WeightsError, random_like, sent, transform_of, unit
from teachers._hub import Source, beside, locate, provenance, read_config
from teachers._library import Facts, Layout, LibraryTeacher, UnfitError, Watch, layout
from teachers._open_clip import encode_image, encode_text
from teachers.clip import MEAN, STD, Tokenizer
from teachers.libraries import describe as described

FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin", "model.safetensors")
CONFIG = "open_clip_config.json"
CAPTIONS = ("a dog", "two cats on a sofa")  # that are cut, to show whether padding counts
SAME = 1e-5  # largest difference between the embeddings of cut and of padded captions
PREPROCESSING = ("mean", "std", "interpolation", "resize_mode", "size")


class OpenClipTeacher(LibraryTeacher):
    """Both towers of an open_clip model; pooled features are what ``encode_image`` and ``encode_text`` give."""

    def __init__(
        self,
        model: nn.Module,
        facts: Facts,
        transform: dict,
        tokenize: Callable,
        tokenizer: dict,
        provenance: dict | None,
    ):
        super().__init__(model, facts, transform, provenance)
        self.tokenize, self.tokenizer, self._cuts = tokenize, tokenizer, None

    @property
    def scale(self) -> float:
        return math.exp(self.model.logit_scale.item())  # the same on every device

    def vision(self) -> nn.Module:
        return self.model.visual

    def outputs(self, inputs: Tensor) -> tuple[Tensor, Tensor | None, Tensor]:
        pooled, features = encode_image(self.model.visual, inputs)
        grid = self.facts.layout
        return pooled, grid and grid.patches(features), pooled

    def lengths(self, captions: Sequence[str]) -> Tensor:
        """How many tokens each caption has before its padding: int64 ``[C]``."""
        return self._counted(self.tokenize(captions))

    def _counted(self, ids: Tensor) -> Tensor:
        padding = self.tokenize([""])[0, -1]
        places = torch.arange(1, ids.shape[1] + 1)
        return (places * (ids != padding)).amax(dim=1).clamp_min(1)

    @torch.no_grad()
    def text(self, captions: Sequence[str]) -> TextFeatures:
        ids = self.tokenize(captions)
        lengths = self._counted(ids)
        longest = int(lengths.max())
        device = self.model.logit_scale.device
        pooled, tokens = encode_text(self.model, sent(ids[:, :longest] if self.cuts else ids, device))
        return TextFeatures(pooled, tokens[:, :longest], lengths, unit(pooled))

    @property
    def cuts(self) -> bool:
        """Whether captions may be cut to the longest of a batch, as two of them show."""
        if self._cuts is None:
            ids = self.tokenize(CAPTIONS)
            short = ids[:, : int(self._counted(ids).max())]
            if short.shape == ids.shape:
                return False
            device = self.model.logit_scale.device
            with torch.autocast(device.type, enabled=False):
                whole, cut = (unit(encode_text(self.model, part.to(device))[0]) for part in (ids, short))
            self._cuts = bool((whole - cut).abs().max() <= SAME)
        return self._cuts


def load(name: str, model: LibraryModel, weights: Weights) -> OpenClipTeacher:
    """Raises :class:`WeightsError` where the weights cannot be had or do not fill the model."""
    configured, facts = configuration(model, weights.path), described(model, weights.path)
    built, origin = random_like(lambda: build(model)), provenance("open_clip", model.name, "random")
    if weights.kind == "pretrained":
        origin = _fill(name, built, model, configured, weights)
    tokenize, tokenizer = _tokenizer(name, model)
    return OpenClipTeacher(built, facts, transform(configured, facts.size, model), tokenize, tokenizer, origin)


def describe(model: LibraryModel, path: Path | None = None) -> Facts:
    """See :func:`teachers.libraries.describe`."""
    configured = configuration(model, path)
    if model.pool != "own":
        raise UnfitError("pool", f"a model of open_clip has its own pooling alone, not '{model.pool}'")
    try:
        with torch.device("meta"), torch.no_grad():
            built = build(model, "meta").eval()
            size, *_ = _pair(built.visual.image_size)
            image = torch.empty(1, 3, size, size)
            pooled, features = encode_image(built.visual, image)
            grid = _grid(built.visual, features)
            if grid:
                with Watch(grid, 1) as watch:
                    encode_image(built.visual, image)
    except Exception as error:  # whatever a model raises at a size that it was not made for, or without the hub
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        key = "size" if model.size else "open_clip"
        raise UnfitError(key, f"{model.name} cannot be built ({reason})") from None
    patch = getattr(built.visual, "patch_size", None) or getattr(
        getattr(built.visual, "trunk", None), "patch_embed", None
    )
    patch = _pair(getattr(patch, "patch_size", patch))[0]
    if isinstance(patch, int) and size % patch:
        raise UnfitError("size", f"{size} px are no multiple of the patches of {model.name}, {patch} px")
    attention = "none" if grid is None else "exact" if watch.last else "substitute"
    return Facts(size, pooled.shape[1], grid, _pool(built.visual), attention, configured.get("licence"))


def configuration(model: LibraryModel, path: Path | None = None) -> dict:
    """What open_clip states of the weights: preprocessing and hub; of a local checkpoint what the config beside it says.

    Raises :class:`UnfitError` for a name or a tag that open_clip does not have, and weights whose preprocessing is not known.
    """
    if model.name not in open_clip.list_models():
        raise UnfitError("open_clip", unknown_name(model.name, open_clip.list_models()))
    tags = open_clip.list_pretrained_tags_by_model(model.name)
    if model.tag and model.tag not in tags:
        raise UnfitError(
            "pretrained", unknown_name(model.tag, tags) if tags else f"open_clip has no weights of {model.name}"
        )
    own = read_config(beside(path, CONFIG)).get("preprocess_cfg") if path else None
    several = [
        {name: open_clip.get_pretrained_cfg(model.name, tag).get(name) for name in PREPROCESSING} for tag in tags
    ]
    if not (own or model.tag) and any(one != several[0] for one in several):
        lacking = f"open_clip has weights of {model.name} with several preprocessings: name one of {', '.join(tags)}"
        raise UnfitError("pretrained", lacking)
    tag = model.tag or (tags[0] if tags else None)
    facts = open_clip.get_pretrained_cfg(model.name, tag) if tag else {}
    whole = open_clip.get_model_config(model.name)
    if (
        model.tag
        and not whole["vision_cfg"].get("timm_model_name")
        and facts.get("quick_gelu", False) != whole.get("quick_gelu", False)
    ):
        other = model.name.removesuffix("-quickgelu") + ("-quickgelu" if facts.get("quick_gelu") else "")
        raise UnfitError("open_clip", f"the weights '{model.tag}' were trained with the other GELU: name {other}")
    return facts | (own or {})


def build(model: LibraryModel, device: str = "cpu") -> nn.Module:
    """open_clip's model without weights, at the size that is asked for."""
    options = {"pretrained_image": False, "pretrained_hf": False, "force_image_size": model.size}
    with _quiet():
        return open_clip.create_model(model.name, None, device=device, load_weights=False, **options)


@contextmanager
def _quiet():
    """Without open_clip's warning that the weights are random."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


def transform(facts: dict, size: int, model: LibraryModel) -> dict:
    """The transform of open_clip's ``image_transform`` for inference."""
    mean, std = (
        [value] * 3 if isinstance(value, float) else value
        for value in (facts.get("mean") or MEAN, facts.get("std") or STD)
    )
    resized = math.floor(size / (model.crop or 1))
    side = {"squash": resized} if facts.get("resize_mode") == "squash" else {"short_side": resized}
    interpolation = "bilinear" if facts.get("interpolation") == "bilinear" else "bicubic"
    return transform_of(size, mean, std, interpolation, **side)


def _pair(value: object) -> tuple:
    return tuple(value) if isinstance(value, tuple | list) else (value, value)


def _grid(visual: nn.Module, features: Tensor) -> Layout | None:
    trunk = getattr(visual, "trunk", visual)
    before = 1 if isinstance(visual, VisionTransformer) else getattr(trunk, "num_prefix_tokens", None)
    return layout(features.shape, before, getattr(trunk, "output_fmt", None))


def _pool(visual: nn.Module) -> str:
    """What the feature is: whose rows of the attention count."""
    if isinstance(visual, VisionTransformer):
        return "map" if visual.attn_pool is not None else {"tok": "token"}.get(visual.pool_type, visual.pool_type)
    kind = getattr(getattr(visual, "trunk", None), "global_pool", None)
    return kind if isinstance(kind, str) and kind else "map" if isinstance(visual, ModifiedResNet) else "avg"


def _fill(name: str, built: nn.Module, model: LibraryModel, facts: dict, weights: Weights) -> dict:
    """Fill the model with its pretrained weights, as open_clip does, strictly; their provenance."""
    repository, _, file = facts.get("hf_hub", "").rstrip("/").partition("/")
    owner, _, rest = file.partition("/")
    if not weights.path and not (model.tag and repository):
        tags = ", ".join(open_clip.list_pretrained_tags_by_model(model.name)) or "none"
        raise WeightsError(
            f"teacher {name}: name the weights of {model.name} (pretrained: one of {tags}), or give their path:"
        )
    checkpoint = locate(
        Source(name, f"{repository}/{owner}", (rest,) if rest else FILES, path=weights.path, revision=weights.revision)
    )
    try:
        open_clip.load_checkpoint(built, str(checkpoint.file), strict=True, weights_only=True)
    except Exception as error:  # a pickle of anything else, tensors that do not fit, names that nothing converts
        lines = "\n".join(f"{type(error).__name__}: {error}".splitlines()[:12])
        raise WeightsError(
            f"teacher {name}: {checkpoint.file} does not fill {model.name}, so it is refused.\n{lines}"
        ) from error
    if bad := [
        key
        for key, tensor in built.state_dict().items()
        if not tensor.isfinite().all() and not key.endswith("attn_mask")
    ]:
        raise WeightsError(f"teacher {name}: {checkpoint.file}: {len(bad)} tensors are not finite, the first {bad[0]}")
    # Nothing tells whose weights a local file holds.
    return checkpoint.provenance("open_clip", model.name if weights.path else f"{model.name} {model.tag}")


def _tokenizer(name: str, model: LibraryModel) -> tuple[Callable[[Sequence[str]], Tensor], dict]:
    """The library's tokenizer and what identifies it. One that cannot be had is an error of the first captions: images
    do not need it."""
    text = open_clip.get_model_config(model.name)["text_cfg"]
    facts = {
        "name": f"open_clip {text.get('hf_tokenizer_name') or 'SimpleTokenizer'}",
        "length": text.get("context_length", 77),
    }
    try:
        reference = open_clip.get_tokenizer(model.name)
    except Exception as error:  # of the hub, of transformers
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        lacking = (
            f"teacher {name}: its tokenizer is not in the hub's cache ({reason}). On a machine with a connection run\n"
            f"    hf download {text.get('hf_tokenizer_name')} --include 'tokenizer*' 'special_tokens_map.json' 'config.json' '*.model'\n"
            "and copy the cache"
        )

        def refuse(_: Sequence[str]) -> Tensor:
            raise WeightsError(lacking)

        return refuse, facts
    if isinstance(reference, SimpleTokenizer) and reference.clean_fn is _clean_lower and reference.reduction_fn is None:
        return Tokenizer(reference), facts
    return lambda captions: reference(list(captions)), facts
