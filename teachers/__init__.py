"""Teachers, one file each: the file's name is the teacher's name.

A teacher file states ``KIND`` (the kind of dataset it pairs with), perhaps a ``NOTE`` for reports and the ``LICENCE`` of its
weights for exports, and offers ``load(weights)``, which returns a frozen ``nn.Module`` in eval mode with the interface of
:class:`Teacher`. Pixels go in as they are stored (uint8 or float in [0, 255]); every teacher resizes and normalises them
itself, by its ``transform``: that of the library's own evaluation for full-size teachers; pocket ones take the picture as it
is, in its own size.

:class:`Weights` are ``pocket`` (small, shipped beside this file), ``untrained`` (the same architecture with random
weights, a control), ``pretrained`` (full size, from a local path, the hub's cache or the hub) or ``random`` (full-size
architecture, for timing, sizes and as a control).
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.declared import LibraryModel
from bench.kit.errors import defined
from teachers._hub import WeightsError as WeightsError
from teachers._hub import fill, provenance, read_tensors

POCKET = Path(__file__).parent / "pocket"
KINDS = ("pocket", "untrained", "pretrained", "random")


@dataclass(frozen=True)
class Weights:
    """Which weights a teacher is loaded with; a ``path`` and a ``revision`` exclude each other."""

    kind: str  # one of KINDS
    trained_on: str | None = None  # pocket: the real dataset that it was trained on; None for drawn images
    path: Path | None = None  # pretrained: a local checkpoint (a file, or its folder) instead of the hub's
    revision: str | None = None  # pretrained: a pinned revision of the hub's repository

    @property
    def is_pocket(self) -> bool:
        """Whether the model is of pocket size."""
        return self.kind in ("pocket", "untrained")


@dataclass(frozen=True)
class ImageFeatures:
    """A teacher's features of ``B`` images.

    ``pooled [B, D]`` and ``patches [B, P, D]`` are what students read (P a square grid, row by row);
    ``attention [B, P]`` is the last layer's attention from the pooled token to the patches, mean over heads,
    rows summing to one; ``joint [B, E]`` is the unit-length embedding behind the teacher's own similarities. A model of a
    library may have no patches or attention, which are None then; no case asks for them.
    """

    pooled: Tensor
    patches: Tensor | None
    attention: Tensor | None
    joint: Tensor


@dataclass(frozen=True)
class TextFeatures:
    """A teacher's features of ``C`` captions: ``pooled [C, D]``, ``tokens [C, L, D]`` of which the first
    ``lengths [C]`` count, and the unit-length ``joint [C, E]``. The lengths are on the CPU, where tokens are counted."""

    pooled: Tensor
    tokens: Tensor
    lengths: Tensor
    joint: Tensor


class Teacher(Protocol):
    """The interface of every teacher."""

    size: int  # input side in pixels
    scale: float  # factor on the cosine of two joint embeddings before the softmax
    reduce_to: int | None  # width to which features are reduced by PCA before students see them
    transform: dict  # what identifies the preprocessing, as transform_of gives it
    tokenizer: dict | None  # what identifies the tokenizer, for teachers of captions: name, length
    provenance: dict | None  # where the weights come from, for a record; None: from the teacher's file

    def vision(self) -> nn.Module: ...  # what must run to embed an image

    def image(self, pixels: Tensor) -> ImageFeatures: ...

    def text(self, captions: Sequence[str]) -> TextFeatures: ...

    def lengths(self, captions: Sequence[str]) -> Tensor: ...  # tokens of each caption, int64 [C]


def load(name: str, weights: Weights | str, geometry: str = "published", model: LibraryModel | None = None) -> Teacher:
    """Load teacher ``name``, frozen and in eval mode. A plain string stands for the :class:`Weights` of that kind.

    ``model`` describes one that the matrix declares. ``geometry`` says what part of a picture it sees: what its publisher
    evaluated it on, or all of it (``squash``). Raises :class:`WeightsError` where the weights cannot be had or do not fit the
    teacher.
    """
    weights = Weights(weights) if isinstance(weights, str) else weights
    if model:
        teacher = import_module(f"teachers.libraries.{model.library}").load(name, model, weights)
    else:
        teacher = defined(import_module(f"teachers.{name}"), "load")(weights)
        teacher.provenance = getattr(teacher, "provenance", None) or provenance("none", name, f"teachers/{name}.py")
    if geometry == "squash":
        kept = {name: value for name, value in teacher.transform.items() if name not in ("squash", "floor")}
        teacher.transform = kept | {"short_side": None}
    return teacher.eval().requires_grad_(False)


def attended(teacher: Teacher, pixels: Tensor) -> ImageFeatures:
    """A teacher's features of images with their attention: ``image`` of one that has a method ``attended`` leaves it out."""
    return teacher.attended(pixels) if hasattr(teacher, "attended") else teacher.image(pixels)


def transform_of(
    size: int,
    mean: Sequence[float],
    std: Sequence[float],
    interpolation: str = "bicubic",
    short_side: int | None = None,
    squash: int | None = None,
    floor: bool = False,
) -> dict:
    """What :func:`prepare` does, as plain data."""
    facts = {
        "size": size,
        "mean": list(mean),
        "std": list(std),
        "interpolation": interpolation,
        "short_side": short_side,
    }
    facts |= {"squash": squash} if squash not in (None, size) else {}
    return facts | ({"floor": True} if floor else {})


def prepare(pixels: Tensor, size: int, mean: Sequence[float], std: Sequence[float], **fit) -> Tensor:
    """Pixels ``[B, 3, H, W]`` in [0, 255] to a model's input ``[B, 3, size, size]``: :func:`fitted`, normalised, float."""
    images = fitted(pixels, size, **fit).float() / 255
    shift, spread = sent(torch.tensor([mean, std]), images.device).view(2, 1, 3, 1, 1)
    return (images - shift) / spread


def fitted(
    pixels: Tensor,
    size: int,
    interpolation: str = "bicubic",
    short_side: int | None = None,
    squash: int | None = None,
    floor: bool = False,
) -> Tensor:
    """Pixels ``[B, 3, H, W]`` in [0, 255] to a model's square ``[B, 3, size, size]``, still in [0, 255].

    With ``short_side`` the short side is resized to it and the middle cut out, as torchvision's ``Resize(short_side)`` and
    ``CenterCrop(size)`` do; without, all of the picture is squashed into the square, or into one of ``squash`` pixels whose
    middle is cut out. Where half a pixel is left over, transformers takes the ``floor`` and torchvision rounds.
    """
    height, width = map(int, pixels.shape[-2:])  # as plain numbers: under fvcore's tracing they are tensors
    target = (squash or size, squash or size)
    if short_side:
        target = tuple(int(short_side * side / min(height, width)) for side in (height, width))
    if (height, width) != target:
        # As Pillow: side by side, in whole grey levels; one pass in floats would keep what the first side overshoots, up to
        # 30 levels of it. Pillow 13 takes the height first where that shrinks by more than twice the pixels.
        tall = short_side and height - target[0] > max(0, 2 * (width - target[1]))
        for shape in ((target[0], width) if tall else (height, target[1]), target):
            pixels = F.interpolate(pixels.float(), shape, mode=interpolation, antialias=True, align_corners=False)
            pixels = pixels.round_().clamp_(0, 255)
    top, left = ((math.floor if floor else round)((side - size) / 2) for side in target)
    return pixels[..., top : top + size, left : left + size]


def sent(values: Tensor, device: torch.device) -> Tensor:
    """A tensor of the CPU on ``device``; the host goes on at once, and what is queued there after this waits for it."""
    # A copy of rows that do not lie one after the other would not go from pinned memory.
    return (
        values.contiguous().pin_memory().to(device, non_blocking=True) if device.type == "cuda" else values.to(device)
    )


def in_float32(device: torch.device) -> AbstractContextManager:
    """Surrounds what bfloat16 would round for no gain, such as the last projection: autocast is off inside."""
    has_autocast = torch.amp.is_autocast_available(device.type)  # the meta device has none
    return torch.autocast(device.type, enabled=False) if has_autocast else nullcontext()


class AttentionError(RuntimeError):
    """A teacher's library answered with no attention map, as fused attention does."""


@contextmanager
def attention_of(teacher: nn.Module, module: nn.Module) -> Iterator[list[Tensor]]:
    """Collect the softmaxed attention that ``module`` answers with: ``[B, heads, T, T]``, or the mean over heads.

    ``module`` is the attention's dropout layer, or the attention itself where that returns its weights beside the mixed
    values. Raises :class:`AttentionError` at the end of the block where neither gave any.
    """
    seen: list[Tensor] = []
    hook = module.register_forward_hook(
        lambda _, inputs, output: seen.extend(output[1:] if isinstance(output, tuple) else [output])
    )
    try:
        yield seen
    finally:
        hook.remove()
    if not seen or not isinstance(seen[0], Tensor):
        raise AttentionError(
            f"teacher {type(teacher).__name__}: the {type(module).__name__} of its last layer gave no attention map, as fused "
            "attention has none; build the model with unfused attention (fused_attn = False of timm, attn_implementation="
            "'eager' of transformers)"
        )


def to_patches(rows: Tensor) -> Tensor:
    """Attention rows over all tokens, the first of them CLS, ``[B, 1 + P]`` to a distribution over patches ``[B, P]``."""
    patches = rows[:, 1:].float()
    return patches / patches.sum(dim=1, keepdim=True)


def unit(embeddings: Tensor) -> Tensor:
    """Rows scaled to unit length, in float32."""
    return F.normalize(embeddings.float(), dim=-1)


def load_pocket(model: nn.Module, name: str, library: str, weights: Weights) -> tuple[nn.Module, dict]:
    """``model``, which ``library`` built, with the shipped pocket weights of teacher ``name``, and their provenance.

    As it is, where untrained weights are asked for. Raises :class:`WeightsError` naming a file that is missing or damaged,
    or does not fill the model: a partly initialised teacher is refused.
    """
    if weights.kind == "untrained":
        return model, provenance(library, type(model).__name__, "random")
    trained_on = weights.trained_on
    path = POCKET / (f"{name}-{trained_on}.safetensors" if trained_on else f"{name}.safetensors")
    command = f"python -m teachers.pocket.train {name}" + (f" --dataset {trained_on}" if trained_on else "")
    remedy = f"Get it back with\n    git checkout -- {path}\nor train it with\n    {command}"
    if not path.exists():
        raise WeightsError(f"{path} is missing. {remedy}")
    facts = provenance(library, type(model).__name__, "shipped file", path.name)
    return fill(model, read_tensors(path, remedy), name, path, remedy=remedy), facts


def random_like(build):
    """Build a model from a fixed seed without touching the caller's random state."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build()
