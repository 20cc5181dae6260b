"""What teachers made of a library's model share: how its output becomes a pooled feature and a grid of patches."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

MOST_TOKENS = 10  # that any model has before its patches


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


def layout(shape: Sequence[int], before: int | None = None, form: str | None = None) -> Layout | None:
    """The layout of features of ``shape``; None where they are no square grid.

    ``before`` is how many tokens precede the patches and ``form`` how a map lies, where the model says so.
    """
    if len(shape) == 3:
        count, width = shape[1:]
        befores = range(MOST_TOKENS + 1) if before is None else [before]
        squares = [one for one in befores if count > one and math.isqrt(count - one) ** 2 == count - one]
        return Layout("tokens", math.isqrt(count - squares[0]), width, squares[0]) if squares else None
    if len(shape) != 4:
        return None
    is_last = form == "NHWC" if form else shape[1] == shape[2] != shape[3]
    height, across, width = shape[1:] if is_last else (*shape[2:], shape[1])
    return Layout("NHWC" if is_last else "NCHW", height, width) if height == across else None
