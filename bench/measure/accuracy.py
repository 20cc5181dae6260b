"""Accuracy of embeddings: k-NN, recall over the full gallery, and the paper's in-batch matching.

All functions take unit-length float embeddings and work in chunks, so that memory stays bounded. A tie
counts against the model: an embedding that maps everything to one point scores zero, not one, and so does NaN.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

CHUNK = 1024


def knn_top1(
    bank: Tensor, bank_labels: Tensor, queries: Tensor, labels: Tensor, k: int = 20, temperature: float = 0.07
) -> float:
    """Weighted k-NN accuracy in percent (Caron et al., 2104.14294, DINO's ``eval_knn``).

    ``bank [M, D]`` with ``bank_labels [M]`` are training embeddings, ``queries [N, D]`` held-out ones. The k most
    similar vote with weight exp(cosine / temperature); fewer than k in the bank means all of them vote.
    """
    k = min(k, len(bank))
    classes = int(max(bank_labels.max(), labels.max())) + 1
    correct = 0
    for start in range(0, len(queries), CHUNK):
        similarity, neighbours = (queries[start : start + CHUNK] @ bank.T).topk(k, dim=1)
        votes = queries.new_zeros(len(similarity), classes)
        votes.scatter_add_(1, bank_labels[neighbours], (similarity / temperature).exp())
        right = votes.argmax(dim=1) == labels[start : start + CHUNK]
        correct += int((right & votes.isfinite().all(dim=1)).sum())
    return 100 * correct / len(queries)


def match_ranks(queries: Tensor, gallery: Tensor, query_ids: Tensor, gallery_ids: Tensor) -> Tensor:
    """Rank (1 is best) of each query's best match in the gallery: int64 ``[N]``.

    A match is a gallery entry with the query's id. The rank counts the non-matches that score at least as
    high as the best match, plus one. Raises ``ValueError`` where a query has no match.
    """
    ranks = []
    for start in range(0, len(queries), CHUNK):
        similarity = queries[start : start + CHUNK] @ gallery.T
        match = query_ids[start : start + CHUNK, None] == gallery_ids[None]
        if not match.any(dim=1).all():
            missing = query_ids[start : start + CHUNK][~match.any(dim=1)][0].item()
            raise ValueError(f"query id {missing} has no match in the gallery")
        best = similarity.masked_fill(~match, -math.inf).amax(dim=1, keepdim=True)
        # Not "at least as high" but "not lower", so that NaN counts against the model too.
        ranks.append((~(similarity < best) & ~match).sum(dim=1) + 1)
    return torch.cat(ranks)


@dataclass(frozen=True)
class Retrieval:
    """Recall at 1, 5, 10 in percent and median rank, in both directions."""

    image_to_text: dict[int, float]
    text_to_image: dict[int, float]
    image_to_text_median_rank: float
    text_to_image_median_rank: float


def retrieval(images: Tensor, texts: Tensor, owner: Tensor) -> Retrieval:
    """Retrieval over the whole gallery with all captions.

    ``images [N, D]``, ``texts [C, D]``, ``owner [C]`` the image of each caption. An image's query hits if any of
    its captions is in the top k (the protocol of CLIP_benchmark).
    """
    ids = torch.arange(len(images), device=images.device)
    to_text = match_ranks(images, texts, ids, owner)
    to_image = match_ranks(texts, images, owner, ids)

    def recalls(ranks: Tensor) -> dict[int, float]:
        return {k: 100 * (ranks <= k).double().mean().item() for k in (1, 5, 10)}

    return Retrieval(
        recalls(to_text),
        recalls(to_image),
        to_text.double().quantile(0.5).item(),
        to_image.double().quantile(0.5).item(),
    )


def in_batch_accuracy(ranks: Tensor, gallery: int, batch: int) -> float:
    """The paper's accuracy in percent: how often a query's match is the best of a random batch.

    Exact expectation over batches: mean over queries of C(N - r, B - 1) / C(N - 1, B - 1), where ``ranks`` r are
    ranks in a gallery of N = ``gallery`` entries, one match each, and B = ``batch``. Chance is 100 / B. For the
    self-similarity of a vision-only student every rank is 1 and the result is 100 whatever the model is.
    """
    if not 1 <= batch <= gallery:
        raise ValueError(f"batch {batch} must lie between 1 and the gallery's size {gallery}")
    log = torch.lgamma
    n, b = torch.tensor(float(gallery), dtype=torch.float64), torch.tensor(float(batch), dtype=torch.float64)
    r = ranks.double().cpu()
    possible = n - r >= b - 1
    r = torch.where(possible, r, torch.ones_like(r))
    # C(N-r, B-1) / C(N-1, B-1) = (N-r)! (N-B)! / ((N-r-B+1)! (N-1)!); paired so that r = 1 gives exactly 1.
    ratio = (log(n - r + 1) - log(n)) + (log(n - b + 1) - log(n - r - b + 2))
    return 100 * torch.where(possible, ratio.exp(), torch.zeros_like(ratio)).mean().item()
