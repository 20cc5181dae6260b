"""k-NN, recall and the paper's accuracy against brute force and other implementations."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import KNeighborsClassifier
from torch.nn import functional
from torchmetrics.retrieval import RetrievalHitRate

from bench.measure import accuracy


def unit(*shape, seed=0):
    return functional.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


@pytest.mark.parametrize("k", [1, 5, 20, 500])
def test_knn_against_scikit_learn(k):
    bank, queries = unit(300, 8), unit(150, 8, seed=1)
    labels = torch.randint(0, 6, (300,), generator=torch.Generator().manual_seed(2))
    truth = torch.randint(0, 6, (150,), generator=torch.Generator().manual_seed(3))
    # For unit vectors cosine = 1 - d^2 / 2.
    vote = lambda distance: np.exp((1 - distance**2 / 2) / 0.07)  # noqa: E731
    oracle = KNeighborsClassifier(min(k, 300), weights=vote, algorithm="brute").fit(bank.double(), labels)
    expected = 100 * oracle.score(queries.double(), truth)
    assert accuracy.knn_top1(bank.double(), labels, queries.double(), truth, k=k) == pytest.approx(expected)


def test_knn_of_one_class_and_of_unseen_classes():
    bank = unit(10, 4)
    assert accuracy.knn_top1(bank, torch.zeros(10, dtype=torch.long), bank, torch.zeros(10, dtype=torch.long)) == 100
    assert accuracy.knn_top1(bank, torch.zeros(10, dtype=torch.long), bank, torch.full((10,), 7)) == 0


@pytest.mark.parametrize(("images", "captions"), [(37, 5), (1100, 2)])  # the second does not divide into chunks
def test_recall_against_torchmetrics(images, captions):
    owner = torch.arange(images).repeat_interleave(captions)
    x = unit(images, 6)
    y = functional.normalize(x[owner] + 0.8 * unit(images * captions, 6, seed=1), dim=-1)
    found = accuracy.retrieval(x, y, owner)
    similarity, match = x @ y.T, owner[None] == torch.arange(images)[:, None]
    for ours, scores, truth in ((found.image_to_text, similarity, match), (found.text_to_image, similarity.T, match.T)):
        index = torch.arange(len(scores))[:, None].expand_as(scores)
        for k in (1, 5, 10):
            oracle = RetrievalHitRate(top_k=k)
            oracle.update(scores.flatten(), truth.flatten(), index.flatten())
            assert ours[k] == pytest.approx(100 * oracle.compute().item(), abs=1e-4)


def test_ranks_by_hand():
    queries = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    gallery = torch.tensor([[0.6, 0.8], [0.8, 0.6], [1.0, 0.0], [0.0, 1.0]])
    # Query 0 scores .6 .8 1 0 and owns entries 0 and 3: best match .6, beaten by .8 and 1. Query 1 owns 1 and 2: .6.
    ranks = accuracy.match_ranks(queries, gallery, torch.tensor([0, 1]), torch.tensor([0, 1, 1, 0]))
    assert ranks.tolist() == [3, 3]


def test_a_collapsed_embedding_scores_nothing():
    same = torch.ones(20, 4) / 2
    found = accuracy.retrieval(same, same.repeat_interleave(3, 0), torch.arange(20).repeat_interleave(3))
    assert set(found.image_to_text.values()) == {0.0} and set(found.text_to_image.values()) == {0.0}


def test_embeddings_that_are_not_numbers_score_nothing():
    broken = torch.full((20, 4), float("nan"))
    owner = torch.arange(20).repeat_interleave(3)
    for images, texts in ((broken, unit(60, 4)), (unit(20, 4), broken.repeat_interleave(3, 0))):
        found = accuracy.retrieval(images, texts, owner)
        assert set(found.image_to_text.values()) == {0.0} and set(found.text_to_image.values()) == {0.0}
    labels = torch.arange(20) % 2 + 1
    assert accuracy.knn_top1(unit(20, 4), labels, broken, labels, k=3) == 0


def test_a_query_without_a_match_is_an_error():
    with pytest.raises(ValueError, match="query id 5 has no match"):
        accuracy.match_ranks(unit(1, 3), unit(4, 3), torch.tensor([5]), torch.arange(4))


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
    ours = accuracy.in_batch_accuracy(torch.tensor(ranks), gallery, batch)
    assert ours == pytest.approx(100 * wins / total, abs=1e-6)


def test_in_batch_accuracy_at_cocos_size_and_at_chance():
    """r uniform over the gallery is a model at chance: 1 / B (a hockey-stick sum); exact at N = 5000."""
    ranks = torch.arange(1, 5001)
    for batch in (1, 32, 64, 5000):
        assert accuracy.in_batch_accuracy(ranks, 5000, batch) == pytest.approx(100 / batch, rel=1e-6)
    exact = 100 * math.comb(5000 - 10, 63) / math.comb(4999, 63)
    assert accuracy.in_batch_accuracy(torch.tensor([10]), 5000, 64) == pytest.approx(exact, rel=1e-9)


def test_the_papers_accuracy_of_an_untrained_vision_student_is_100():
    """Why the paper's 1.00 says nothing: a random projection's self-similarity has its maximum on the diagonal."""
    embeddings = functional.normalize(unit(200, 768) @ torch.randn(768, 256), dim=-1)
    ids = torch.arange(200)
    ranks = accuracy.match_ranks(embeddings, embeddings, ids, ids)
    assert accuracy.in_batch_accuracy(ranks, 200, 64) == 100.0


def test_a_batch_larger_than_the_gallery_is_refused():
    with pytest.raises(ValueError, match="between 1 and the gallery's size 10"):
        accuracy.in_batch_accuracy(torch.ones(3), 10, 11)
