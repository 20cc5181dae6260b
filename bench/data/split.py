"""One split of a dataset as everything reads it: pixels, labels or captions, and what some images show."""

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from bench.kit.errors import UserError

if TYPE_CHECKING:  # preparing a dataset takes no torch
    from torch import Tensor


class AlteredError(UserError):
    """A dataset is not as it was prepared: ``what`` says where, the message also says how to restore it."""

    def __init__(self, what: str, repair: str):
        super().__init__(f"{what}; {repair}")
        self.what = what


@dataclass(frozen=True)
class Concepts:
    """Which thing each image of a caption set shows, and the texts that ask for each thing: zero-shot classification.

    ``labels`` (int64 ``[N]``) count into ``names``; -1: the image shows no single one, and does not count. ``prompts`` are
    P texts, ``prompt_classes`` (int64 ``[P]``, ascending) the concept that each asks for; every concept has some.
    """

    names: tuple[str, ...] = field(repr=False)
    labels: "Tensor"
    prompts: tuple[str, ...] = field(repr=False)
    prompt_classes: "Tensor" = field(repr=False)


@dataclass(frozen=True)
class Split:
    """One split of a dataset.

    ``pixels`` are uint8 ``[N, 3, H, W]``, in memory or memory-mapped. There may be nothing else. Classification has
    ``labels`` (int64 ``[N]``) and ``classes``; image-text data has ``captions`` (C strings) and ``owner`` (int64 ``[C]``,
    ascending: the image each caption belongs to), and ``concepts`` where some of its images show a single thing.
    ``identity`` tells the images and captions from any others; concepts are no part of it, since a teacher's features do not
    depend on them.

    ``files`` are the pictures that ``pixels`` were decoded from, if any, and ``checksums`` theirs; ``exact`` says
    that ``pixels`` hold all that the files do, and ``repair`` how to restore files that were altered since.
    """

    pixels: "Tensor"
    classes: tuple[str, ...] = ()
    labels: "Tensor | None" = None
    captions: tuple[str, ...] = field(default=(), repr=False)
    owner: "Tensor | None" = None
    concepts: Concepts | None = None
    files: tuple[Path, ...] = field(default=(), repr=False)
    checksums: tuple[str, ...] = field(default=(), repr=False)
    exact: bool = False
    repair: str = field(default="prepare the dataset again", repr=False)
    identity: str = ""

    def __post_init__(self):
        if not self.identity:
            digest = hashlib.sha256(self.pixels.contiguous().numpy())
            digest.update("\n".join(map(str, self.captions)).encode())
            object.__setattr__(self, "identity", digest.hexdigest())

    def __len__(self) -> int:
        return len(self.pixels)

    def images_alone(self) -> "Split":
        """The same images without their captions, for a teacher that reads no text."""
        return replace(self, captions=(), owner=None, concepts=None)

    def with_class_prompts(self) -> "Split":
        """The same images, their classes asked for by "a photo of a NAME", for a teacher that reads text."""

        def prompts(name: str) -> tuple[str]:
            return (f"a photo of a {name.replace('_', ' ')}",)

        return replace(self, concepts=concepts_of(self.classes, self.labels.tolist(), prompts))

    def check(self, name: str, bare: bool = False) -> None:
        """Raise :class:`UserError` naming the first image or caption where this is no split as described above; ``name``
        says whose it is. With ``bare`` images need neither labels nor captions."""
        import torch

        def require(good: "Tensor", what: str) -> None:
            if not good.all():
                raise UserError(f"{name}: {what.format(int((~good).nonzero()[0]))}")

        pixels, count = self.pixels, len(self.pixels)
        if pixels.dtype != torch.uint8 or pixels.dim() != 4 or pixels.shape[1] != 3:
            raise UserError(f"{name}: pixels must be uint8 [N, 3, H, W], not {_described(pixels)}")
        if bare and self.labels is None and self.owner is None:
            return
        if (self.labels is None) == (self.owner is None):
            raise UserError(f"{name}: images need either labels, or captions with their owner")
        for part, length, what in ((self.labels, count, "labels"), (self.owner, len(self.captions), "owner")):
            if part is not None and (part.dtype != torch.int64 or part.shape != (length,)):
                raise UserError(f"{name}: {what} must be int64 [{length}], not {_described(part)}")
        if self.labels is not None:
            classes = f"no label from 0 to {len(self.classes) - 1}, its place in the classes"
            require((self.labels >= 0) & (self.labels < len(self.classes)), f"image {{}} has {classes}")
            return
        words = [isinstance(caption, str) and bool(caption.strip()) for caption in self.captions]
        require(torch.tensor(words, dtype=torch.bool), "caption {} is no text, or an empty one")
        require((self.owner >= 0) & (self.owner < count), f"the owner of caption {{}} is none of the {count} images")
        require(
            self.owner.diff() >= 0, "the owner of caption {} is a later image than the next caption's: sort by owner"
        )
        require(self.owner.bincount(minlength=count) > 0, "image {} has no caption: leave it out")

    @property
    def side(self) -> int:
        """Height and width of the pixels."""
        return self.pixels.shape[-1]

    def view(self, rows: list[int], transform: dict, threads: ThreadPoolExecutor) -> "Tensor":
        """Images for a teacher with this ``transform``, uint8 ``[B, 3, H, W]``: as they are stored, for it to resize.

        Decoded anew from the files, on ``threads``, where these have more to give than ``pixels``, and resized by Pillow:
        nothing but the transform's cut is left to the teacher. Raises :class:`AlteredError` where a file is not the one that
        ``pixels`` were decoded from.
        """
        if self.exact or not self.files:
            return self.pixels[rows]
        import torch

        from bench.data.images import AlteredPictureError, decode_all

        size, short_side = transform.get("squash") or transform["size"], transform["short_side"]
        files, checksums = ([part[row] for row in rows] if part else [] for part in (self.files, self.checksums))
        try:
            options = transform["interpolation"], transform.get("floor", False)
            return torch.from_numpy(decode_all(files, size, short_side, threads, checksums, *options))
        except AlteredPictureError as error:
            raise AlteredError(str(error), self.repair) from None


def _described(tensor: "Tensor") -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"


def concepts_of(
    names: Sequence[str], labels: Sequence[int], prompts: Callable[[str], Sequence[str]]
) -> Concepts | None:
    """The concepts of images that have these ``labels``, each asked for by ``prompts(name)``; None where all are -1."""
    if max(labels, default=-1) < 0:
        return None
    import torch

    asked = [(prompt, number) for number, name in enumerate(names) for prompt in prompts(name)]
    texts, classes = zip(*asked, strict=True)
    return Concepts(tuple(names), torch.tensor(labels), texts, torch.tensor(classes))
