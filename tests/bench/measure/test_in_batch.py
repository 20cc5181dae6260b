"""The paper's accuracy against brute force, exact binomials and the closed form at chance."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from bench.measure.in_batch import in_batch_accuracy, in_batch_curve
from bench.measure.retrieval import match_ranks
from tests.bench.measure.drawn import seeded, unit


@settings(max_examples=25, deadline=None)
@given(st.integers(3, 7), st.data())
def test_in_batch_accuracy_is_the_mean_over_all_batches(gallery, data):
    """Brute force: every batch of B that holds the query, its match winning if nothing better is in it."""
    ranks = data.draw(st.lists(st.integers(1, gallery), min_size=1, max_size=5))
    batch = data.draw(st.integers(1, gallery))
    wins = total = 0
    for rank in ranks:
        # Entries by score: position rank - 1 is the match, the entries before it are better.
        others = [position for position in range(gallery) if position != rank - 1]
        for rest in itertools.combinations(others, batch - 1):
            wins += all(position > rank - 1 for position in rest)
            total += 1
    ours = in_batch_accuracy(torch.tensor(ranks), gallery, batch)
    assert ours == pytest.approx(100 * wins / total, abs=1e-6)


def test_in_batch_accuracy_at_cocos_size_and_at_chance():
    """r uniform over the gallery is a model at chance: 1 / B (a hockey-stick sum); exact at N = 5000."""
    ranks = torch.arange(1, 5001)
    for batch in (1, 32, 64, 5000):
        assert in_batch_accuracy(ranks, 5000, batch) == pytest.approx(100 / batch, rel=1e-6)
    exact = 100 * math.comb(5000 - 10, 63) / math.comb(4999, 63)
    assert in_batch_accuracy(torch.tensor([10]), 5000, 64) == pytest.approx(exact, rel=1e-9)


def test_the_papers_accuracy_of_an_untrained_vision_student_is_100():
    """Why the paper's 1.00 says nothing: a random projection's self-similarity has its maximum on the diagonal."""
    projection = torch.randn(768, 256, generator=seeded(1))
    embeddings = functional.normalize(unit(200, 768) @ projection, dim=-1)
    ids = torch.arange(200)
    ranks = match_ranks(embeddings, embeddings, ids, ids)
    assert in_batch_accuracy(ranks, 200, 64) == 100.0
    assert in_batch_curve(ranks, 200)[-1] == (200, 100.0)


def test_embeddings_that_are_not_numbers_win_no_batch():
    broken, ids = torch.full((8, 4), float("nan")), torch.arange(8)
    ranks = match_ranks(broken, broken, ids, ids)
    assert [value for _, value in in_batch_curve(ranks, 8)] == [0, 0, 0]


@pytest.mark.parametrize(
    ("gallery", "batches"), [(1, [1]), (2, [2]), (7, [2, 4, 7]), (8, [2, 4, 8]), (9, [2, 4, 8, 9])]
)
def test_the_curve_doubles_the_batch_up_to_the_gallery(gallery, batches):
    ranks = torch.arange(1, gallery + 1)
    curve = in_batch_curve(ranks, gallery)
    assert [batch for batch, _ in curve] == batches
    assert [value for _, value in curve] == pytest.approx([100 / batch for batch in batches])
