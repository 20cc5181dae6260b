"""The paper's accuracy, in-batch matching, computed exactly from ranks over the full gallery."""

import torch
from torch import Tensor


def in_batch_accuracy(ranks: Tensor, gallery: int, batch: int) -> float:
    """The paper's accuracy in percent: how often a query's match is the best of a random batch.

    Exact expectation over batches: mean over queries of C(N - r, B - 1) / C(N - 1, B - 1), where ``ranks`` r are
    ranks in a gallery of N = ``gallery`` entries, one match each, and B = ``batch``. Chance is 100 / B. For the
    self-similarity of a vision-only student every rank is 1 and the result is 100 whatever the model is.
    """
    log = torch.lgamma
    n, b = torch.tensor([gallery, batch], dtype=torch.float64)
    r = ranks.double().cpu()
    possible = n - r >= b - 1
    r = torch.where(possible, r, torch.ones_like(r))
    # C(N-r, B-1) / C(N-1, B-1) = (N-r)! (N-B)! / ((N-r-B+1)! (N-1)!); paired so that r = 1 gives exactly 1.
    ratio = (log(n - r + 1) - log(n)) + (log(n - b + 1) - log(n - r - b + 2))
    return 100 * torch.where(possible, ratio.exp(), torch.zeros_like(ratio)).mean().item()


def in_batch_curve(ranks: Tensor, gallery: int) -> list[tuple[int, float]]:
    """(B, accuracy in percent) for B = 2, 4, 8, ... below the gallery's size, and for the whole gallery."""
    batches = [2**power for power in range(1, gallery.bit_length()) if 2**power < gallery]
    return [(batch, in_batch_accuracy(ranks, gallery, batch)) for batch in [*batches, gallery]]
