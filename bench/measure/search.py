"""The k nearest entries of a gallery, exactly: float32 products choose candidates, float64 products rank them.

A candidate is dismissed only where no rounding could have brought it among the k nearest. Queries for which that cannot be
said (duplicates, NaN, embeddings that are nearly one point) are scored in float64 from end to end. The result is that of
float64 alone, ties included, in less time than faiss takes for an exact search in float32.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from bench.measure import tiles

ORDER = tiles.TIE / 16  # far below a tie, and above what rounding does to equal scores, by which it orders them
UNIT = 2.0**-24  # largest relative error of one float32 operation
BLOCK = 8  # entries of which only the best is looked at first
SPARE = 12  # blocks that are looked into beyond those that must be
RUN = 1024  # entries that are scored at once: their scores stay in the cache

# ``adjust(scores [Q, G], rows [Q], columns [G] or [Q, G])`` lowers scores of the queries ``rows`` with the entries ``columns``
# in place, by ``TIE`` at most or to -inf.
Adjust = Callable[[Tensor, Tensor, Tensor], object]
Ranked = tuple[Tensor, Tensor]  # scores, best first, and gallery indices: ``[Q, k]`` each


def top_scores(queries: Tensor, gallery: Tensor, k: int, adjust: Adjust, removed: int = 0) -> Ranked:
    """The k highest scores of each query and their gallery indices: float64 and int64 ``[N, k]``.

    Queries ``[N, D]`` and ``gallery [G, D]`` have unit length. NaN ranks highest. Of equal scores those earlier in the gallery
    are taken, however it is cut into tiles: scores are lowered by up to ``ORDER`` for it. ``removed`` is how many entries
    ``adjust`` may lower to -inf for one query.
    """
    k = min(k, len(gallery))
    rows = torch.arange(len(queries), device=queries.device)
    kept = k + removed + SPARE
    # On a GPU float64 is fast, and float32 may be TF32. In a small gallery there is nothing to gain.
    if queries.is_cuda or len(gallery) < 16 * BLOCK * kept:
        return _joined([_by_float64(queries, gallery, part, k, adjust) for part in rows.split(tiles.QUERIES)])
    # A query ranks the entries of a gallery that is moved alike, and about its middle float32 resolves most.
    centred = gallery - gallery.mean(dim=0)
    # What two float32 scores may be off by, and what one of them may be lowered by.
    margin = 2 * (queries.shape[1] + 16) * UNIT * centred.norm(dim=1).max() + tiles.TIE + ORDER
    parts = []
    for part in rows.split(max(1, min(tiles.QUERIES, tiles.QUERIES * tiles.GALLERY // (len(gallery) // 2)))):
        best, candidates = _by_float32(queries[part], centred, kept)
        scores, indices = _rescored(queries, gallery, part, k, adjust, candidates)
        unsure = ~(best[:, -1] < best[:, k - 1 + removed] - margin)
        if unsure.any():
            scores[unsure], indices[unsure] = _by_float64(queries, gallery, part[unsure], k, adjust)
        parts.append((scores, indices))
    return _joined(parts)


def _by_float32(queries: Tensor, gallery: Tensor, kept: int) -> Ranked:
    """The best float32 scores of the ``kept`` best blocks ``[Q, kept]``, and all entries of these ``[Q, kept * BLOCK]``.

    The k best entries lie in the k best blocks. A block is ``BLOCK`` neighbouring entries, and the first ones of all blocks
    are scored together, then the second ones: its best one comes of comparing whole runs.
    """
    best = queries.new_empty(len(queries), -(-len(gallery) // BLOCK))
    scores = queries.new_empty(len(queries), RUN)
    for blocks in tiles.spans(best.shape[1], RUN):
        ahead = best[:, blocks]
        torch.mm(queries, gallery[::BLOCK][blocks].T, out=ahead)
        for place in range(1, BLOCK):
            entries = gallery[place::BLOCK][blocks]  # the last block may have fewer
            run = torch.mm(queries, entries.T, out=scores[:, : len(entries)])
            torch.maximum(ahead[:, : len(entries)], run, out=ahead[:, : len(entries)])  # passes NaN on
    best, blocks = best.topk(kept, dim=1)
    entries = blocks[:, :, None] * BLOCK + torch.arange(BLOCK, device=queries.device)
    return best, entries.flatten(1)


def _rescored(queries: Tensor, gallery: Tensor, rows: Tensor, k: int, adjust: Adjust, candidates: Tensor) -> Ranked:
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


def _by_float64(queries: Tensor, gallery: Tensor, rows: Tensor, k: int, adjust: Adjust) -> Ranked:
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
