"""What teachers made of a library's model share: how its output becomes patches, where it looks, and what is said of it before."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from bench.kit.errors import UserError
from teachers import ImageFeatures, prepare, unit

MOST_TOKENS = 10  # that any model has before its patches
NUMBERS = 2**26  # of an attention map that are computed at once
SUBSTITUTE = "squared activations of its last map, summed over channels"


class UnfitError(UserError):
    """A model cannot be a teacher as it is declared: ``key`` of its entry is at fault."""

    def __init__(self, key: str, reason: str):
        super().__init__(reason)
        self.key = key


@dataclass(frozen=True)
class Layout:
    """How a model lays out its last features: ``tokens [B, before + side², D]``, or a map ``NCHW`` or ``NHWC``."""

    form: str
    side: int
    width: int
    before: int = 0

    def patches(self, features: Tensor) -> Tensor:
        """The square grid, row by row: ``[B, side², D]``."""
        if self.form == "tokens":
            return features[:, self.before :]
        return features.flatten(2).transpose(1, 2) if self.form == "NCHW" else features.flatten(1, 2)


@dataclass(frozen=True)
class Facts:
    """What a plan must know of a teacher: its input side, the ``width`` of its feature, how its patches lie (None: it has
    none), what its feature is (``pool``), its attention to the patches ("exact", "substitute" or "none"), and the licence."""

    size: int
    width: int
    layout: Layout | None
    pool: str
    attention: str
    licence: str | None

    @property
    def has_tokens(self) -> bool:
        """Whether students can read its patches beside the pooled feature, which must be as wide."""
        return self.layout is not None and self.layout.width == self.width


class LibraryTeacher(nn.Module):
    """A library's model. A subclass says in :meth:`outputs` what it gives; attention is only asked for by :meth:`attended`."""

    scale = 1 / 0.07  # the temperature of DINO's own k-NN protocol
    reduce_to = None
    tokenizer = None

    def __init__(self, model: nn.Module, facts: Facts, transform: dict, provenance: dict | None = None):
        super().__init__()
        self.model, self.facts, self.transform = model, facts, transform
        self.size, self.licence = facts.size, facts.licence
        self.provenance = provenance and provenance | {
            "licence": facts.licence or "not stated",
            "attention": facts.attention,
        }
        if facts.attention == "substitute":
            self.map_meaning = SUBSTITUTE

    def vision(self) -> nn.Module:
        return self.model

    def outputs(self, inputs: Tensor) -> tuple[Tensor, Tensor | None, Tensor]:
        """The pooled feature, the patches and the joint embedding, before it has unit length."""
        raise NotImplementedError

    @torch.no_grad()
    def image(self, pixels: Tensor) -> ImageFeatures:
        """The features of images without their attention, which takes longer."""
        pooled, patches, joint = self.outputs(prepare(pixels, **self.transform))
        return ImageFeatures(pooled, patches, None, unit(joint))

    @torch.no_grad()
    def attended(self, pixels: Tensor) -> ImageFeatures:
        """The features of images with their attention, None where the model has no grid."""
        if self.facts.attention != "exact":
            features = self.image(pixels)
            strength = None if features.patches is None else features.patches.float().square().sum(dim=2)
            return replace(features, attention=None if strength is None else F.normalize(strength, p=1, dim=1))
        with Watch(self.facts.layout, len(pixels)) as watch:
            features = self.image(pixels)
        return replace(features, attention=watch.attention(self.facts.pool))


def layout(shape: Sequence[int], before: int | None = None, form: str | None = None) -> Layout | None:
    """The layout of features of ``shape``; None where they are no square grid.

    ``before`` is how many tokens precede the patches and ``form`` how a map lies, where the model says so.
    """
    if len(shape) == 3:
        count, width = shape[1:]
        befores = range(MOST_TOKENS + 1) if before is None else [before]
        squares = [one for one in befores if count - one > 1 and math.isqrt(count - one) ** 2 == count - one]
        return Layout("tokens", math.isqrt(count - squares[0]), width, squares[0]) if squares else None
    if len(shape) != 4:
        return None
    is_last = form == "NHWC" if form else shape[1] == shape[2] != shape[3]
    height, across, width = shape[1:] if is_last else (*shape[2:], shape[1])
    return Layout("NHWC" if is_last else "NCHW", height, width) if height == across else None


class Watch(TorchFunctionMode):
    """Keeps the last attention over all patches of ``layout`` that a model computes inside, in whatever way it does.

    Of fused attention queries and keys are kept, and only the rows that are asked for are computed from them: the model
    itself runs as it always does.
    """

    def __init__(self, layout: Layout, batch: int):
        super().__init__()
        self.count, self.before, self.batch = layout.side**2, layout.before, batch
        self.last: tuple[Tensor, ...] | None = None

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if function is F.multi_head_attention_forward:
            output, weights = function(*args, **kwargs | {"need_weights": True, "average_attn_weights": True})
            if weights is not None and weights.ndim == 3:
                self._keep(weights[:, None])
            return output, weights if kwargs.get("need_weights", True) else None
        if function is F.scaled_dot_product_attention and not kwargs.get("is_causal"):
            query, key, mask = args[0], args[1], kwargs.get("attn_mask", args[3] if len(args) > 3 else None)
            if query.ndim == 4 and query.shape[1] == key.shape[1]:
                self._keep(query, key, mask, kwargs.get("scale"))
            return function(*args, **kwargs)
        output = function(*args, **kwargs)
        if function in (torch.softmax, Tensor.softmax, F.softmax) and output.ndim == 4:
            self._keep(output)
        return output

    def _keep(self, *parts) -> None:
        """The softmaxed map ``[B, heads, queries, keys]``, or queries and keys with mask and scale."""
        keys = parts[0].shape[3] if len(parts) == 1 else parts[1].shape[2]
        # An attention pooling of a map may put the map's mean before it.
        if parts[0].shape[0] == self.batch and keys in (self.count, self.count + max(self.before, 1)):
            self.last = parts

    def attention(self, pool: str) -> Tensor:
        """Where the pooled feature looks, mean over heads, ``[B, P]``, rows summing to one.

        Of an attention pooling (or class attention) the row of its only query; of the tokens' own attention that of the first
        "token", of the first two "tokens", or for a mean over patches the mean over their rows. Raises ``RuntimeError`` where
        nothing was seen.
        """
        if self.last is None:
            raise RuntimeError("the model computed no attention over its patches, as it did when it was planned")
        queries = self.last[0].shape[2]
        rows = slice(None)
        if queries > 1:
            apart = self.before > 0 or queries == self.count
            rows = slice(self.before, None) if pool == "avg" and apart else slice(0, 2 if pool == "tokens" else 1)
        kept = self._rows(rows)[:, -self.count :]
        return kept / kept.sum(dim=1, keepdim=True)

    def _rows(self, rows: slice) -> Tensor:
        """Mean over heads and over the queries ``rows``: ``[B, keys]``."""
        if len(self.last) == 1:
            return self.last[0][:, :, rows].float().mean(dim=(1, 2))
        query, key, mask, scale = self.last
        query = query[:, :, rows]
        images, heads, queries, width = query.shape
        mask = mask if mask is None else mask.expand(images, heads, -1, -1)
        mask = mask if mask is None or mask.shape[2] == 1 else mask[:, :, rows]
        most = max(1, NUMBERS // (heads * queries * key.shape[2]))
        parts = []
        for part in torch.arange(images).split(most):
            at = slice(int(part[0]), int(part[-1]) + 1)
            logits = query[at].float() @ key[at].float().transpose(2, 3) * (width**-0.5 if scale is None else scale)
            if mask is not None:
                given = mask[at]
                logits = logits.masked_fill(~given, -math.inf) if given.dtype == torch.bool else logits + given.float()
            parts.append(logits.softmax(dim=3).mean(dim=(1, 2)))
        return torch.cat(parts)


def card_licence(folder: Path) -> str | None:
    """The licence that a model card beside the weights states; None where there is no card, or it states none."""
    card = folder / "README.md"
    text = card.read_text(encoding="utf-8", errors="replace") if card.is_file() else ""
    head = text.split("---")[1] if text.startswith("---") else ""
    values = dict(re.findall(r"^(license|license_name):[ ]*(\S+)", head, re.MULTILINE))
    return values.get("license_name") or values.get("license")
