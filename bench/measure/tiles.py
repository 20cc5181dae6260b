"""Similarities in tiles of bounded size, and the one rule for ties that every accuracy keeps.

Scores are float64 products of the float32 embeddings: the order of summation, and with it the shape of a tile, the
device or its TF32 switch, then moves a score by some 1e-15, and two equal gallery entries score the same for every
purpose. ``TIE`` is what float32 embeddings themselves resolve. Scores no further apart than that are a tie, and a
tie counts against the model: the right answer is handicapped by ``TIE`` before scores are compared.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

QUERIES, GALLERY = 1024, 16384  # one tile of scores: 128 MB
TIE = torch.finfo(torch.float32).eps


def spans(count: int, size: int) -> Iterator[slice]:
    """Cuts ``range(count)`` into slices of at most ``size``; nothing is one empty slice."""
    return (slice(start, min(start + size, count)) for start in range(0, max(1, count), size))


def similarity_tiles(queries: Tensor, gallery: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Scores of ``queries [Q, D]`` with all of ``gallery [G, D]``: pairs (columns, float64 ``[Q, columns]``).

    Of wide embeddings fewer at a time: they are copied as float64, too.
    """
    queries = queries.double()
    for columns in spans(len(gallery), min(GALLERY, 2**25 // queries.shape[1])):
        yield columns, queries @ gallery[columns].double().T


@dataclass(frozen=True)
class Classified:
    """Accuracies in percent and the predicted label of each sample, int64 ``[N]``, -1 where its scores are not finite."""

    top1: float
    top5: float
    predictions: Tensor


def classified(parts: list[tuple[Tensor, Tensor]], classes: Tensor) -> Classified:
    """The result of what :func:`class_ranks` returned for each tile; ``classes [C]`` are the columns' labels."""
    ranks, best = (torch.cat(part) for part in zip(*parts, strict=True))
    top1, top5 = (percent_within(ranks, k, len(classes)) for k in (1, 5))
    return Classified(top1, top5, torch.where(best < 0, best, classes[best]))


def class_ranks(scores: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """Rank of the true class and the best class of each row of ``scores [Q, C]``: int64 ``[Q]`` each.

    ``truth [Q]`` is the true column, -1 where there is none. The rank is one plus the number of other classes that do
    not score lower; without a true column, or where a score is not finite, it is C + 1. The best class is -1 where a
    score is not finite. Ties are for the caller to decide, by a handicap (``handicap_truth``).
    """
    valid, known = scores.isfinite().all(dim=1), truth >= 0
    own = scores.gather(1, truth.clamp(min=0)[:, None])
    ranks = (~(scores < own)).sum(dim=1)  # the true class is not lower than itself: that is the one
    ranks = ranks.masked_fill(~(valid & known), scores.shape[1] + 1)
    return ranks, scores.argmax(dim=1).masked_fill(~valid, -1)


def handicap_truth(scores: Tensor, truth: Tensor) -> Tensor:
    """``scores [Q, C]`` with the true column (-1: none) lowered by ``TIE``, so that a tie is lost; in place."""
    own = torch.where(truth >= 0, -TIE, 0.0).to(scores.dtype)
    return scores.scatter_add_(1, truth.clamp(min=0)[:, None], own[:, None])


def columns_of(labels: Tensor, classes: Tensor) -> Tensor:
    """Where each label stands in the ascending ``classes [C]``: int64, -1 where it does not."""
    at = torch.searchsorted(classes, labels).clamp(max=len(classes) - 1)
    return at.masked_fill(classes[at] != labels, -1)


def percent_within(ranks: Tensor, k: int, entries: int) -> float:
    """Percent of ``ranks`` among the first k of ``entries``; a rank beyond the last entry never is."""
    return 100 * (ranks <= min(k, entries)).double().mean().item()
