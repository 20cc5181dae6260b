"""Retrieval between images and captions: ranks over the full gallery, recall, median rank and mAP@R."""

import math

import torch
from torch import Tensor

from bench.measure import tiles

DEPTHS = (1, 5, 10)


def retrieval(images: Tensor, texts: Tensor, owner: Tensor) -> dict[str, float]:
    """Retrieval over the whole gallery with all captions, by metric: recall at 1, 5, 10 in percent and median rank in both
    directions, and of images' captions mAP@R in percent.

    ``images [N, D]``, ``texts [C, D]``, ``owner [C]`` the image of each caption; images have one or more captions. An
    image's query hits if any of its captions is in the top k (the protocol of CLIP_benchmark). mAP@R is that of
    Musgrave et al. (2003.08505): with R entries relevant to a query, 1/R times the sum over the relevant ones among
    the top R of the precision at their place; for text to image R is one, and it would be recall@1. Raises
    ``ValueError`` where an image has no caption.
    """
    owner = owner.to(images.device)
    ids = torch.arange(len(images), device=images.device)
    to_text, precision = _ranks_and_precision(images, texts, ids, owner)
    to_image = match_ranks(texts, images, owner, ids)
    sides = {"image_to_text": (to_text, len(texts)), "text_to_image": (to_image, len(images))}
    scores = {
        f"{side}_r{k}": tiles.percent_within(ranks, k, count) for side, (ranks, count) in sides.items() for k in DEPTHS
    }
    scores |= {f"{side}_median_rank": ranks.double().quantile(0.5).item() for side, (ranks, _) in sides.items()}
    return scores | {"image_to_text_map_r": 100 * precision.mean().item()}


def match_ranks(queries: Tensor, gallery: Tensor, query_ids: Tensor, gallery_ids: Tensor) -> Tensor:
    """Rank (1 is best) of each query's best match in the gallery: int64 ``[N]``.

    A match is a gallery entry with the query's id. The rank counts the non-matches that score at least as high as the
    best match (ties count against the model), plus one; it is G + 1, worse than last, where a score of a match is not
    finite. Raises ``ValueError`` where a query has no match.
    """
    return _ranks_and_precision(queries, gallery, query_ids, gallery_ids)[0]


def nearest(queries: Tensor, gallery: Tensor) -> Tensor:
    """Index of the best gallery entry of each query: int64 ``[N]``, -1 where a score is not finite.

    Of entries that tie, the first; so a model agrees with itself on a gallery with duplicates, and one that maps
    everything to one point agrees with any other by chance.
    """
    indices = []
    for rows in tiles.spans(len(queries), tiles.QUERIES):
        best = torch.full((len(queries[rows]),), -math.inf, dtype=torch.float64, device=queries.device)
        for _, tile in tiles.similarity_tiles(queries[rows], gallery):
            best = torch.maximum(best, tile.amax(dim=1))  # passes NaN on
        index = torch.full_like(best, -1, dtype=torch.int64)
        for columns, tile in tiles.similarity_tiles(queries[rows], gallery):
            tied = tile >= best[:, None] - tiles.TIE
            here = tied.any(dim=1) & (index < 0)
            index = torch.where(here, tied.byte().argmax(dim=1) + columns.start, index)
        indices.append(index.masked_fill(~best.isfinite(), -1))
    return torch.cat(indices)


def chance_recall(owner: Tensor, k: int) -> tuple[float, float]:
    """Expected recall@k of a random ranking in percent: (image to text, text to image).

    Exact: an image with r of the G captions misses with probability C(G - r, k) / C(G, k); a text finds its image
    among N with k / N. ``owner [C]`` is the image of each caption.
    """
    counts = owner.bincount().double().cpu()
    captions, images = len(owner), len(counts)
    drawn = torch.arange(min(k, captions), dtype=torch.float64)
    # C(G-r, k) / C(G, k) is the chance that the first, the second, ... of k draws all miss.
    missed = ((captions - counts[:, None] - drawn).clamp(min=0) / (captions - drawn)).prod(dim=1)
    return 100 * (1 - missed).mean().item(), 100 * min(k, images) / images


def _match_scores(queries: Tensor, gallery: Tensor, first: Tensor, count: Tensor) -> Tensor:
    """Scores of the matches ``gallery[first : first + count]`` of each query, best first: float64 ``[Q, R]``, -inf beyond
    a query's own; NaN comes first."""
    queries = queries.double()
    scores = queries.new_full((len(queries), int(count.max())), -math.inf)
    for place in range(scores.shape[1]):
        entries = gallery[(first + place).clamp(max=len(gallery) - 1)].double()
        scores[:, place] = torch.where(place < count, (queries * entries).sum(dim=1), -math.inf)
    return scores.sort(dim=1, descending=True).values


def _rivals(queries: Tensor, gallery: Tensor, query_ids: Tensor, gallery_ids: Tensor, scores: Tensor) -> Tensor:
    """How many non-matches score no lower than each of ``scores [Q, R]``, ties included: int64 ``[Q, R]``."""
    bars = scores - tiles.TIE
    counts = torch.zeros_like(scores, dtype=torch.int64)
    for columns, tile in tiles.similarity_tiles(queries, gallery):
        tile.masked_fill_(query_ids[:, None] == gallery_ids[None, columns], -math.inf)
        for place in range(scores.shape[1]):
            # Not "at least as high" but "not lower", so that NaN counts against the model too.
            counts[:, place] += tile.shape[1] - (tile < bars[:, place, None]).sum(dim=1)
    return counts


def _ranks_and_precision(
    queries: Tensor, gallery: Tensor, query_ids: Tensor, gallery_ids: Tensor
) -> tuple[Tensor, Tensor]:
    """Ranks of the best matches and average precision at R of each query: int64 and float64 ``[N]``."""
    order = gallery_ids.argsort(stable=True)
    gallery, gallery_ids = gallery[order], gallery_ids[order]
    first = torch.searchsorted(gallery_ids, query_ids)
    count = torch.searchsorted(gallery_ids, query_ids, right=True) - first
    if not count.all():
        raise ValueError(f"query id {query_ids[count == 0][0].item()} has no match in the gallery")
    ranks, precision = [], []
    for rows in tiles.spans(len(queries), tiles.QUERIES):
        scores = _match_scores(queries[rows], gallery, first[rows], count[rows])
        rivals = _rivals(queries[rows], gallery, query_ids[rows], gallery_ids, scores)
        finite = scores[:, :1].isfinite()
        ranks.append((rivals[:, 0] + 1).masked_fill(~finite[:, 0], len(gallery) + 1))
        relevant = count[rows, None]
        ordinal = torch.arange(1, scores.shape[1] + 1, device=scores.device)[None]  # the first match, the second, ...
        place = rivals + ordinal
        hits = (ordinal <= relevant) & (place <= relevant) & finite
        precision.append(((hits * ordinal / place).double().sum(dim=1)) / relevant[:, 0])
    return torch.cat(ranks), torch.cat(precision)
