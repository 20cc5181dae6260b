"""The exact k nearest against numpy's float64 products, however close the entries are; and when float64 alone decides."""

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from bench.measure import search, tiles
from bench.measure.search import top_scores
from tests.bench.measure.drawn import unit

ENTRIES, K = 4_003, 10  # no multiple of a block


def cloud(count, spread, seed, width=16):
    """Unit vectors about one of them."""
    return normalize(unit(1, width, seed=99) + spread * unit(count, width, seed=seed), dim=1)


def nothing(scores, rows, columns):
    """No entry is lowered."""


def numpys(scores):
    """The K best of float64 ``scores``; what differs by no more than ``ORDER`` is in the gallery's order."""
    scores = scores.numpy() - np.arange(scores.shape[1]) * (search.ORDER / scores.shape[1])
    return np.argsort(-scores, axis=1)[:, :K].tolist()


def products(queries, gallery):
    return queries.double() @ gallery.double().T


@pytest.fixture
def unsure(monkeypatch):
    """The queries that were scored in float64 from end to end."""
    numbers = []

    def counted(queries, gallery, rows, k, adjust, whole=search._by_float64):
        numbers.extend(rows.tolist())
        return whole(queries, gallery, rows, k, adjust)

    monkeypatch.setattr(search, "_by_float64", counted)
    return numbers


@pytest.mark.parametrize("spread", [1.0, 1e-2, 1e-3])
def test_neighbours_are_numpys(spread, unsure):
    queries, gallery = cloud(200, spread, 1), cloud(ENTRIES, spread, 2)
    scores, indices = top_scores(queries, gallery, K, nothing)
    exact = products(queries, gallery)
    assert indices.tolist() == numpys(exact)
    torch.testing.assert_close(scores, exact.gather(1, indices), rtol=0, atol=2 * search.ORDER)
    assert bool(unsure) == (spread < 1e-2)  # float32 resolves the others


def test_of_duplicates_the_first_are_taken(unsure):
    few = cloud(100, 1.0, 3)
    queries, gallery = cloud(50, 1.0, 1), few.repeat(41, 1)
    assert top_scores(queries, gallery, K, nothing)[1].tolist() == numpys(products(queries, gallery))
    assert sorted(unsure) == [*range(50)]  # 41 equal ones: float32 cannot say which are the first


def test_queries_and_entries_that_are_not_numbers_rank_highest():
    queries, gallery = cloud(40, 1.0, 1), cloud(ENTRIES, 1.0, 2)
    queries[7] = torch.nan
    scores, indices = top_scores(queries, gallery, K, nothing)
    others = [row for row in range(40) if row != 7]
    assert scores[7].isnan().all() and indices[others].tolist() == numpys(products(queries[others], gallery))
    gallery[4_000] = torch.nan
    scores, indices = top_scores(queries, gallery, K, nothing)
    assert (indices[others, 0] == 4_000).all() and scores[others, 1:].isfinite().all()


@pytest.mark.parametrize("spread", [1.0, 1e-3, 0.0])
def test_what_is_lowered_is_lowered_before_it_is_ranked(spread):
    """A query is no neighbour of its own, and of entries that tie those with an even number come last."""
    x = cloud(ENTRIES, spread, 2)

    def lower(scores, rows, columns):
        scores.masked_fill_(columns == rows[:, None], -torch.inf)
        scores.sub_(tiles.TIE * (columns % 2 == 0))

    exact = products(x, x) - tiles.TIE * (torch.arange(ENTRIES) % 2 == 0)
    expected = numpys(exact.fill_diagonal_(-torch.inf))
    assert top_scores(x, x, K, lower, removed=1)[1].tolist() == expected
