"""Pictures as embeddings without a model: their pixels less the middle grey, at unit length.

They are worked out as they are asked for: in float32 100,000 pictures of 64 pixels would take 4.9 GB.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn.functional import interpolate, normalize

SIDE = 64  # pixels beyond which pictures are shrunk: of 224, an image would take 600 KB in float32
MIDDLE = 127.5
EXACT = 1024  # products of two 8-bit integers, each at most 2^14, of which float32 holds every sum exactly


@dataclass(frozen=True, eq=False)
class Pixels:
    """``pixels``, uint8 ``[N, 3, H, W]``, as a sequence of embeddings ``[N, D]`` on a device."""

    pixels: Tensor
    device: torch.device

    block = 1  # for :mod:`bench.measure.search`: to look into a block of such wide ones would take longer than it saves

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, rows: slice | Tensor) -> Tensor:
        """Some rows as float32 ``[..., D]``, D = 3 x side x side."""
        pixels = self.pixels[rows if isinstance(rows, slice) else rows.flatten().cpu()].to(self.device).float()
        if pixels.shape[-1] > SIDE:
            pixels = interpolate(pixels, (SIDE, SIDE), mode="area")
        flat = normalize(pixels.flatten(1) - MIDDLE, dim=1)
        return flat if isinstance(rows, slice) else flat.unflatten(0, rows.shape)

    @property
    def shape(self) -> tuple[int, int]:
        return len(self), 3 * min(self.pixels.shape[-1], SIDE) ** 2

    @property
    def error(self) -> float:
        """How far a product may be off: integers are rounded a few times at the end alone."""
        return 2.0**-24 * (32 if self._are_integers else self.shape[1] + 16)

    def products(self, queries: "Pixels", rows: Tensor) -> Callable[[slice, Tensor], object]:
        """What writes float32 cosines of ``queries[rows]`` with a span of these pictures to a tensor ``[Q, G]``.

        Of small pictures they are exact but for the end: with a and b the pixels less 128, a sum of (a + 1/2)(b + 1/2) is
        that of ab, half the sums of a and of b, and D / 4.
        """
        if not self._are_integers:
            own = queries[rows]
            return lambda columns, out: torch.mm(own, self[columns].T, out=out)
        signed, (sums, lengths) = queries._signed(rows), (part[rows, None] for part in queries._sums_and_lengths)
        their_sums, their_lengths = self._sums_and_lengths
        constant = sums / 2 + self.shape[1] / 4

        def write(columns: slice, out: Tensor) -> None:
            out.copy_(_exact_products(signed, self._signed(columns)))
            out.add_(constant).add_(their_sums[columns] / 2).div_(lengths).div_(their_lengths[columns])

        return write

    @property
    def _are_integers(self) -> bool:
        """Not if they are shrunk."""
        return self.pixels.shape[-1] <= SIDE

    def _signed(self, rows: slice | Tensor) -> Tensor:
        return (self.pixels[rows].flatten(1) ^ 128).view(torch.int8)

    @cached_property
    def _sums_and_lengths(self) -> tuple[Tensor, Tensor]:
        """Of each picture the sum of its pixels less 128, and the length of its pixels less the middle: ``[N]`` each."""
        parts = []
        for part in self.pixels.split(256):
            centred = part.float() - MIDDLE
            sums = centred.sum(dim=3), centred.square_().sum(dim=3)  # exact: a row of pixels is short
            first, second = (one.double().sum(dim=(1, 2)) for one in sums)
            parts.append((first - self.shape[1] / 2, second.sqrt()))
        sums, lengths = (torch.cat(part).float() for part in zip(*parts, strict=True))
        return sums, lengths


def _exact_products(queries: Tensor, others: Tensor) -> Tensor:
    """int8 ``[Q, D] @ [G, D].T`` in int32.

    PyTorch multiplies integers ten times as fast as float32 with AVX-512, and without it 28 times as slowly.
    """
    if torch.backends.cpu.get_cpu_capability() == "AVX512":
        return torch._int_mm(queries, others.T)
    total = torch.zeros(len(queries), len(others), dtype=torch.int32)
    for own, other in zip(queries.split(EXACT, dim=1), others.split(EXACT, dim=1), strict=True):
        total += (own.float() @ other.float().T).int()
    return total
