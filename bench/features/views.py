"""What a student trains on where images are augmented: views that it and its teacher both see.

With K stored views the teacher has been asked before, and an epoch has one view of each image, K epochs all of them. Live,
the teacher is asked for each batch, and no view comes twice. Models are evaluated on the images as they are.
"""

from collections.abc import Callable
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.data import views
from bench.features.columns import Column, Features, Rows
from bench.features.extract import TeacherFeatures
from bench.plan.case import Case


def trained_on(case: Case, features: TeacherFeatures) -> Features:
    """What the case's student trains on; views that its teacher is asked for are stored now where they are not yet."""
    if case.views == 1:
        return features.train
    if case.views == "live":
        return Live(features.train, features.ask, case.seed, case.mixup)
    return Stored(features.train, *(features.views(case.views) if case.asks_teacher else ({}, 0.0)), case.views)


class _Views(Features):
    """``arrays`` of views; pixels, labels and captions are those of the ``plain`` features."""

    def __init__(self, plain: Features, arrays: dict[str, Tensor]):
        super().__init__(plain.split, arrays, plain.scale, plain.device)
        self.plain, self.arrays, self.lengths = plain, arrays, plain.lengths

    @property
    def joint(self) -> Tensor:
        """Those of the images as they are."""
        return self.plain.joint

    @property
    def joint_width(self) -> int:
        return self.plain.joint_width

    @property
    def width(self) -> int:
        return self.plain.width

    def column(self, name: str) -> Column:
        return super().column(name) if name in self.arrays else self.plain.column(name)

    def only(self, *names: str) -> None:
        super().only(*names)
        self.plain.only(*names)


class Stored(_Views):
    """Features of ``count`` views of each of N images, ``[count * N, ...]``: row v * N + i is view v of image i."""

    def __init__(self, plain: Features, arrays: dict[str, Tensor], seconds: float, count: int):
        super().__init__(plain, arrays)
        self.seconds, self.count = seconds, count
        self.numbers = views.several(count, plain.split).to(plain.device)

    def rows(self, images: Tensor, epoch: int) -> Rows:
        """Neighbours have different views: an epoch in which all have the same would be unlike the one before."""
        return Rows((images + epoch) % self.count * len(self) + images, self.device)

    def taker(self, rows: Rows) -> Callable[[str], Tensor]:
        images = rows % len(self)

        def take(name: str) -> Tensor:
            if name in self.arrays:
                return self.column(name).take(rows)
            values = self.column(name).take(images)
            return views.render(values, self.numbers[rows.here]) if name == "pixels" else values

        return take


class Live(_Views):
    """Views that follow from ``seed`` and epoch, of which the teacher is asked, by ``ask(pixels)``, in the training step.

    With ``mixup`` it is asked of mixed images in whole grey levels, as the student sees them; labels are shares ``[B, C]``.
    """

    def __init__(
        self, plain: Features, ask: Callable[[Tensor], dict[str, Tensor]], seed: int, mixup: float | None = None
    ):
        super().__init__(plain, {})
        self.ask, self.seed, self.mixup = ask, seed, mixup

    def rows(self, images: Tensor, epoch: int) -> Rows:
        number = self.seed * 1_000_003 + epoch
        self.numbers = views.drawn(len(self), self.split.side, number).to(self.device)
        self.shares = views.shares(len(self), self.mixup, number).to(self.device) if self.mixup else None
        return super().rows(images, epoch)

    def taker(self, rows: Rows) -> Callable[[str], Tensor]:
        pixels = views.render(self.column("pixels").take(rows), self.numbers[rows.here])
        own = None if self.shares is None else self.shares[rows.here]
        if own is not None:
            pixels = views.mixed(pixels, own).round_().to(torch.uint8)
        answer = cache(lambda: self.ask(pixels))

        def take(name: str) -> Tensor:
            if name == "pixels":
                return pixels
            if name != "labels":
                return answer()[name].float()
            labels = self.column(name).take(rows)
            return labels if own is None else views.mixed(F.one_hot(labels, len(self.split.classes)), own)

        return take

    def resident(self, *names: str) -> bool:
        return super().resident(*self._kept(names))

    def only(self, *names: str) -> None:
        super().only(*self._kept(names))

    def _kept(self, names: tuple[str, ...]) -> list[str]:
        """What of it is not asked of the teacher, and the pixels that it is shown."""
        return ["pixels", *(name for name in names if name == "labels" or name.startswith("text_"))]
