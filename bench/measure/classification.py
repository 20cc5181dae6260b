"""Classification of frozen embeddings: by the nearest neighbours, and zero-shot by prompts."""

import math

import torch
from torch import Tensor
from torch.nn.functional import normalize

from bench.measure import tiles
from bench.measure.search import Embeddings, top_scores


def knn(
    bank: Embeddings,
    bank_labels: Tensor,
    queries: Embeddings,
    labels: Tensor,
    k: int = 20,
    temperature: float = 0.07,
    own: Tensor | None = None,
) -> tiles.Classified:
    """k-NN accuracy by DINO's protocol (Caron et al., 2104.14294).

    Unit-length ``queries [N, D]`` with ``labels [N]`` are classified by ``bank [M, D]`` with ``bank_labels [M]``. The k most
    similar vote for their class with weight exp(cosine / temperature) (``eval_knn.py`` of DINO); with fewer than k in the
    bank all of them vote. A query hits at top-5 if its class is among the five with most votes; a class without a vote never
    is. Ties count against the model: a neighbour of the true class yields to equal ones of other classes at the k-th place,
    and equal votes are lost. Of equal wrong neighbours the first of the bank vote. Queries that are in the bank themselves, at
    ``own [N]``, have no vote of their own.
    """
    classes, bank_columns = bank_labels.to(bank.device).unique(return_inverse=True)
    truth = tiles.columns_of(labels.to(bank.device), classes)

    def handicap(scores: Tensor, rows: Tensor, columns: Tensor) -> None:
        scores.sub_(tiles.TIE * (bank_columns[columns] == truth[rows, None]))
        if own is not None:
            scores.masked_fill_(columns == own[rows, None], -math.inf)

    scores, neighbours = top_scores(queries, bank, k, handicap, removed=0 if own is None else 1)
    # Votes in units of the nearest neighbour's: so exp cannot overflow at a low temperature.
    weights = ((scores - scores[:, :1]) / temperature).exp()
    parts = []
    for rows in tiles.spans(len(queries), tiles.QUERIES):
        votes = weights.new_zeros(len(weights[rows]), len(classes))
        votes.scatter_add_(1, bank_columns[neighbours[rows]], weights[rows])
        ranks, best = tiles.class_ranks(votes, truth[rows])
        unheard = votes.gather(1, truth[rows, None].clamp(min=0))[:, 0] == 0
        parts.append((ranks.masked_fill(unheard, len(classes) + 1), best))
    return tiles.classified(parts, classes)


def knn_within(bank: Tensor, labels: Tensor, count: int) -> tiles.Classified:
    """:func:`knn` of at most ``count`` of a bank ``[M, D]`` with ``labels [M]``, each classified by all others.

    Which ones follows from M alone.
    """
    generator = torch.Generator().manual_seed(0)
    own = torch.randperm(len(bank), generator=generator)[:count].to(bank.device)
    return knn(bank, labels, bank[own], labels.to(bank.device)[own], own=own)


def zero_shot(images: Tensor, labels: Tensor, prompts: Tensor, prompt_classes: Tensor) -> tiles.Classified:
    """Classifies ``images [N, D]`` by the nearest class, the normalised mean of its normalised prompts.

    For models with a text tower (Radford et al., 2103.00020, section 3.1.4).
    ``prompts [P, D]`` belong to ``prompt_classes [P]``. Images with label -1 are left out, in ``predictions`` too; a
    label for which there is no prompt is never hit. Ties count against the model.
    """
    labels = labels.to(images.device)
    labelled = labels >= 0
    images, labels = images[labelled], labels[labelled]
    classes, means = class_means(prompts.to(images.device), prompt_classes)
    truth = tiles.columns_of(labels, classes)
    parts = []
    for rows in tiles.spans(len(images), tiles.QUERIES):
        scores = images[rows].double() @ means.T
        parts.append(tiles.class_ranks(tiles.handicap_truth(scores, truth[rows]), truth[rows]))
    return tiles.classified(parts, classes)


def class_means(prompts: Tensor, prompt_classes: Tensor) -> tuple[Tensor, Tensor]:
    """Classes ``[C]`` and the normalised mean of each one's normalised ``prompts [P, D]``, float64 ``[C, D]``."""
    classes, column = prompt_classes.to(prompts.device).unique(return_inverse=True)
    prompts = normalize(prompts.double(), dim=1)
    # Normalising the sum is normalising the mean.
    return classes, normalize(prompts.new_zeros(len(classes), prompts.shape[1]).index_add_(0, column, prompts))
