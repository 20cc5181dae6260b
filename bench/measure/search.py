"""The k nearest entries of a gallery, exactly: float32 products choose candidates, float64 products rank them.

A candidate is dismissed only where no rounding could have brought it among the k nearest. Queries for which that cannot be
said (duplicates, NaN, embeddings that are nearly one point) are scored in float64 from end to end. The result is that of
float64 alone, ties included, in less time than faiss takes for an exact search in float32.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from bench.measure import tiles
from bench.measure.pixels import Pixels

Embeddings = Tensor | Pixels  # float32 ``[N, D]`` of unit length

ORDER = tiles.TIE / 16  # far below a tie, and above what rounding does to equal scores, by which it orders them
SPARE = 8  # blocks that are looked into beyond those that must be
RUN = 1024  # entries that are scored at once: their scores stay in the cache

# ``adjust(scores [Q, G], rows [Q], columns [G] or [Q, G])`` lowers scores of the queries ``rows`` with the entries ``columns``
# in place, by ``TIE`` at most or to -inf.
Adjust = Callable[[Tensor, Tensor, Tensor], object]
Ranked = tuple[Tensor, Tensor]  # scores, best first, and gallery indices: ``[Q, k]`` each


class Centred:
    """A gallery for float32 products. A query ranks a gallery that is moved alike, and about its middle float32 resolves most."""

    block = 8  # entries of which only the best is looked at first

    def __init__(self, gallery: Tensor):
        self.entries = gallery - gallery.mean(dim=0)
        self.error = (gallery.shape[1] + 16) * 2.0**-24 * self.entries.norm(dim=1).max().item()

    def products(self, queries: Tensor, rows: Tensor) -> Callable[[slice, Tensor], object]:
        """What writes scores of ``queries[rows]`` with a span of entries, but for what all have in common, to ``[Q, G]``."""
        own = queries[rows]
        return lambda columns, out: torch.mm(own, self.entries[columns].T, out=out)


def top_scores(queries: Embeddings, gallery: Embeddings, k: int, adjust: Adjust, removed: int = 0) -> Ranked:
    """The k highest scores of each query and their gallery indices: float64 and int64 ``[N, k]``.

    NaN ranks highest. Of equal scores those earlier in the gallery are taken, however it is cut into tiles: scores are
    lowered by up to ``ORDER`` for it. ``removed`` is how many entries ``adjust`` may lower to -inf for one query.
    """
    k = min(k, len(gallery))
    rows = torch.arange(len(queries), device=queries.device)
    kept = k + removed + SPARE
    # On a GPU float64 is fast, and float32 may be TF32. In a small gallery there is nothing to gain.
    if queries.device.type == "cuda" or len(gallery) < 128 * kept:
        return _joined([_by_float64(queries, gallery, part, k, adjust) for part in rows.split(tiles.QUERIES)])
    rough = gallery if isinstance(gallery, Pixels) else Centred(gallery)
    margin = 2 * rough.error + tiles.TIE + ORDER  # two scores may be off, and one of them may be lowered
    parts = []
    for part in rows.split(max(1, min(tiles.QUERIES, 4 * tiles.QUERIES * tiles.GALLERY // len(gallery)))):
        best, candidates = _by_float32(queries, rough, part, len(gallery), kept)
        scores, indices = _rescored(queries, gallery, part, k, adjust, candidates)
        unsure = ~(best[:, -1] < best[:, k - 1 + removed] - margin)
        if unsure.any():
            scores[unsure], indices[unsure] = _by_float64(queries, gallery, part[unsure], k, adjust)
        parts.append((scores, indices))
    return _joined(parts)


def _by_float32(queries: Embeddings, rough: Centred | Pixels, rows: Tensor, entries: int, kept: int) -> Ranked:
    """Of the queries ``rows`` the best float32 scores of the ``kept`` best blocks ``[Q, kept]``, and all entries of these.

    The k best entries lie in the k best blocks. A block is ``rough.block`` neighbouring entries, and the first ones of all
    blocks are scored together, then the second ones: its best one comes of comparing whole runs.
    """
    write = rough.products(queries, rows)
    best = torch.empty(len(rows), -(-entries // rough.block))
    scores = torch.empty(len(rows), RUN)
    for blocks in tiles.spans(best.shape[1], RUN):
        for place in range(rough.block):
            columns = slice(blocks.start * rough.block + place, min(blocks.stop * rough.block, entries), rough.block)
            ahead = best[:, blocks.start : blocks.start + len(range(entries)[columns])]  # the last block may have fewer
            run = ahead if place == 0 else scores[:, : ahead.shape[1]]
            write(columns, run)
            torch.maximum(ahead, run, out=ahead)  # passes NaN on
    best, blocks = best.topk(kept, dim=1)
    return best, (blocks[:, :, None] * rough.block + torch.arange(rough.block)).flatten(1)


def _rescored(
    queries: Embeddings, gallery: Embeddings, rows: Tensor, k: int, adjust: Adjust, candidates: Tensor
) -> Ranked:
    """The k best of the ``candidates [Q, C]`` of the queries ``rows``; those beyond the gallery are none."""
    parts = []
    at_once = max(1, tiles.QUERIES * RUN // (candidates.shape[1] * queries.shape[1]))
    for some, columns in zip(rows.split(at_once), candidates.split(at_once), strict=True):
        beyond = columns >= len(gallery)
        columns = columns.masked_fill(beyond, 0)
        scores = (gallery[columns].double() @ queries[some].double()[:, :, None])[:, :, 0]
        scores -= columns * (ORDER / len(gallery))
        adjust(scores, some, columns)
        scores, at = scores.masked_fill_(beyond, -torch.inf).topk(k, dim=1)
        parts.append((scores, columns.gather(1, at)))
    return _joined(parts)


def _by_float64(queries: Embeddings, gallery: Embeddings, rows: Tensor, k: int, adjust: Adjust) -> Ranked:
    """The k best of the whole gallery, for the queries ``rows``."""
    scores = torch.empty(len(rows), 0, dtype=torch.float64, device=queries.device)
    indices = torch.empty(len(rows), 0, dtype=torch.int64, device=queries.device)
    for span, tile in tiles.similarity_tiles(queries[rows], gallery):
        columns = torch.arange(span.start, span.stop, device=queries.device)
        tile -= columns * (ORDER / len(gallery))
        adjust(tile, rows, columns)
        highest, at = tile.topk(min(k, tile.shape[1]), dim=1)
        scores, indices = torch.cat([scores, highest], dim=1), torch.cat([indices, columns[at]], dim=1)
        scores, at = scores.topk(min(k, scores.shape[1]), dim=1)
        indices = indices.gather(1, at)
    return scores, indices


def _joined(parts: list[Ranked]) -> Ranked:
    scores, indices = (torch.cat(part) for part in zip(*parts, strict=True))
    return scores, indices
