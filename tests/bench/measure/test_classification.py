"""k-NN and zero-shot classification against scikit-learn, loops and by hand; what ties, duplicates and NaN may not do."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, top_k_accuracy_score
from sklearn.model_selection import LeaveOneOut, cross_val_score
from sklearn.neighbors import KNeighborsClassifier

from bench.measure.classification import knn, knn_within, zero_shot
from tests.bench.measure.drawn import integers, permutation, seeded, unit


@pytest.mark.parametrize("k", [1, 5, 20, 500])  # the last is more than the bank holds
def test_accuracies_and_predictions_are_scikit_learns(k):
    bank, queries = unit(300, 8), unit(150, 8, seed=1)
    labels, truth = integers(9, 300, 2), integers(9, 150, 3)
    # For unit vectors cosine = 1 - d^2 / 2.
    vote = lambda distance: np.exp((1 - distance**2 / 2) / 0.07)  # noqa: E731
    oracle = KNeighborsClassifier(min(k, 300), weights=vote, algorithm="brute").fit(bank.double(), labels)
    result = knn(bank, labels, queries, truth, k=k)
    assert result.top1 == pytest.approx(100 * oracle.score(queries.double(), truth))
    assert result.predictions.tolist() == oracle.predict(queries.double()).tolist()
    votes = oracle.predict_proba(queries.double())
    # Five classes can be among the best without a single vote; scikit-learn counts those, the protocol does not.
    heard = votes[np.arange(150), truth] > 0
    expected = top_k_accuracy_score(truth, votes, k=5, normalize=False) if k > 5 else heard.sum()
    assert result.top5 == pytest.approx(100 * expected / 150)


@pytest.mark.parametrize("size", [10, 200])  # fewer than there are neighbours, too
def test_within_a_bank_each_is_left_out_as_by_scikit_learn(size):
    bank, labels = unit(size, 8), integers(4, size, 2)
    bank[3] = bank[5]  # a duplicate of an image is another image
    vote = lambda distance: np.exp((1 - distance**2 / 2) / 0.07)  # noqa: E731
    oracle = KNeighborsClassifier(min(20, size - 1), weights=vote, algorithm="brute")
    expected = cross_val_score(oracle, bank.double(), labels, cv=LeaveOneOut()).mean()
    assert knn_within(bank, labels, size).top1 == pytest.approx(100 * expected)


def test_as_many_of_a_bank_as_are_asked_for_are_drawn_from_all_of_it():
    """In the order of classes, as a folder has them: the first 500 are of one class, each of the others is alone in its own."""
    bank, rows = unit(1000, 8), torch.arange(1000)
    bank[:500], labels = bank[0], rows.where(rows >= 500, 0)
    result = knn_within(bank, labels, 100)
    assert len(result.predictions) == 100 and 35 < result.top1 < 65


def test_votes_by_hand():
    """Cosines 1, 0.8 and 0.6: at T = 1 two votes of e^.8 and e^.6 beat one of e^1; at T = 0.1 they do not."""
    bank = torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.6, 0.8], [-1.0, 0.0]])
    labels, query = torch.tensor([4, 7, 7, 9]), torch.tensor([[1.0, 0.0]])
    assert knn(bank, labels, query, torch.tensor([7]), k=3, temperature=1).predictions.tolist() == [7]
    assert knn(bank, labels, query, torch.tensor([7]), k=3, temperature=0.1).predictions.tolist() == [4]
    assert knn(bank, labels, query, torch.tensor([7]), k=3, temperature=0.1).top5 == 100
    assert knn(bank, labels, query, torch.tensor([9]), k=3, temperature=0.1).top5 == 0  # no vote: not a neighbour


def test_one_class_and_classes_that_the_bank_lacks():
    bank, zeros = unit(10, 4), torch.zeros(10, dtype=torch.long)
    assert knn(bank, zeros, bank, zeros, temperature=1e-4).top1 == 100  # exp does not overflow
    unseen = knn(bank, zeros, bank, torch.full((10,), 7))
    assert (unseen.top1, unseen.top5, unseen.predictions.tolist()) == (0, 0, [0] * 10)


def test_equal_votes_are_lost_whichever_class_is_first():
    bank, query = torch.tensor([[0.6, 0.8], [0.6, -0.8]]), torch.tensor([[1.0, 0.0]])
    for label in (0, 1):
        result = knn(bank, torch.tensor([0, 1]), query, torch.tensor([label]), k=2)
        assert (result.top1, result.top5, result.predictions.item()) == (0, 100, 1 - label)


def test_at_the_last_place_a_duplicate_with_another_label_is_the_neighbour():
    """Three copies of one point, two of class 1: with k = 2 class 0 gets no vote, with k = 3 it gets one of three."""
    bank = unit(1, 64).expand(3, 64)
    for order in ([0, 1, 1], [1, 0, 1], [1, 1, 0]):
        assert knn(bank, torch.tensor(order), bank[:1], torch.tensor([0]), k=2).top5 == 0
        assert knn(bank, torch.tensor(order), bank[:1], torch.tensor([0]), k=3).top5 == 100
        assert knn(bank, torch.tensor(order), bank[:1], torch.tensor([1]), k=3).top1 == 100


def test_duplicates_with_the_same_label_change_nothing_but_their_number():
    """A bank in which everything stands twice, with 2 k neighbours, is the bank with k."""
    bank, labels, queries, truth = unit(200, 16), integers(10, 200, 1), unit(100, 16, seed=2), integers(10, 100, 3)
    twice = knn(torch.cat([bank, bank]), torch.cat([labels, labels]), queries, truth, k=10)
    once = knn(bank, labels, queries, truth, k=5)
    assert (twice.top1, twice.top5) == (once.top1, once.top5)
    assert torch.equal(twice.predictions, once.predictions)


def test_a_collapsed_embedding_scores_nothing():
    same, labels = unit(1, 16).expand(240, 16), torch.arange(240) % 12
    result = knn(same, labels, same, labels)
    assert (result.top1, result.top5) == (0, 0)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_embeddings_that_are_not_finite_score_nothing(value):
    labels, broken = torch.arange(20) % 2 + 1, torch.full((20, 4), value)
    for bank, queries in ((unit(20, 4), broken), (broken, unit(20, 4))):
        result = knn(bank, labels, queries, labels, k=3)
        assert (result.top1, result.top5, result.predictions.tolist()) == (0, 0, [-1] * 20)


def test_a_query_that_is_not_a_number_costs_only_itself():
    bank, labels = unit(40, 8), torch.arange(40) % 4
    queries = bank.clone()
    queries[3] = float("nan")
    result = knn(bank, labels, queries, labels, k=1)
    assert result.top1 == 97.5 and result.predictions[3] == -1


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 60), st.integers(1, 25))
def test_the_order_of_bank_and_queries_does_not_matter(seed, size, k):
    bank, queries = unit(size, 6, seed=seed), unit(30, 6, seed=seed + 1)
    labels, truth = integers(7, size, seed), integers(7, 30, seed + 1)
    banked = permutation(size, seed=seed)
    asked = permutation(30, seed=seed)
    result = knn(bank, labels, queries, truth, k=k)
    permuted = knn(bank[banked], labels[banked], queries[asked], truth[asked], k=k)
    assert (result.top1, result.top5) == (permuted.top1, permuted.top5) and result.top1 <= result.top5
    assert torch.equal(result.predictions[asked], permuted.predictions)


def test_scores_are_those_of_a_loop_over_classes():
    """Prompts in varying number and in any order; numpy's means and scikit-learn's accuracies are the oracle."""
    images, labels = unit(300, 12), integers(9, 300, 1)
    prompt_classes = torch.cat([torch.arange(9), integers(9, 31, 2)])
    prompts = 3 * unit(40, 12, seed=3) * torch.rand(40, 1, generator=seeded(4))
    weights = []
    for label in range(9):
        own = prompts[prompt_classes == label].double().numpy()
        mean = (own / np.linalg.norm(own, axis=1, keepdims=True)).mean(axis=0)
        weights.append(mean / np.linalg.norm(mean))
    scores = images.double().numpy() @ np.stack(weights).T
    result = zero_shot(images, labels, prompts, prompt_classes)
    assert result.predictions.tolist() == scores.argmax(axis=1).tolist()
    assert result.top1 == pytest.approx(100 * accuracy_score(labels, scores.argmax(axis=1)))
    assert result.top5 == pytest.approx(100 * top_k_accuracy_score(labels, scores, k=5))


def test_images_without_a_label_are_left_out():
    prompts, classes = torch.eye(4), torch.arange(4)
    images = torch.eye(4)[[0, 1, 2, 3, 3]]
    result = zero_shot(images, torch.tensor([0, -1, 1, 3, -1]), prompts, classes)
    assert result.top1 == pytest.approx(200 / 3) and result.predictions.tolist() == [0, 2, 3]


def test_a_label_without_a_prompt_is_never_hit_and_labels_need_not_be_consecutive():
    result = zero_shot(torch.eye(3), torch.tensor([20, 7, 3]), torch.eye(3)[:2], torch.tensor([20, 3]))
    assert result.top1 == pytest.approx(100 / 3) and result.predictions[:2].tolist() == [20, 3]
    # With two classes every class that exists is among the best five; label 7 does not exist.
    assert result.top5 == pytest.approx(200 / 3)


def test_collapsed_embeddings_score_nothing():
    same, labels = unit(1, 16), torch.arange(24) % 8
    for images, prompts in (
        (same.expand(24, 16), same.expand(8, 16)),
        (unit(24, 16), same.expand(8, 16)),
    ):
        result = zero_shot(images, labels, prompts, torch.arange(8))
        assert (result.top1, result.top5) == (0, 0)


def test_classes_with_the_same_prompts_tie_and_lose():
    """Two prompts in either order sum to the same class but for rounding; whichever is true, it loses to the other."""
    first, second = unit(2, 64)
    prompts, classes = torch.stack([first, second, second, first]), torch.tensor([0, 0, 1, 1])
    result = zero_shot(unit(50, 64, seed=1), torch.arange(50) % 2, prompts, classes)
    assert result.top1 == 0 and torch.equal(result.predictions, 1 - torch.arange(50) % 2)


def test_values_that_are_not_numbers_score_nothing_even_among_few_classes():
    labels, broken = torch.arange(12) % 3, torch.full((12, 4), float("nan"))
    for images, prompts in ((broken, unit(3, 4)), (unit(12, 4), broken[:3])):
        result = zero_shot(images, labels, prompts, torch.arange(3))
        assert (result.top1, result.top5, result.predictions.tolist()) == (0, 0, [-1] * 12)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6))
def test_a_permuted_batch_gives_the_same_predictions(seed):
    images, labels = unit(40, 6, seed=seed), integers(7, 40, seed)
    prompts, classes = unit(20, 6, seed=seed + 1), torch.arange(20) % 7
    order = permutation(40, seed=seed)
    asked = permutation(20, seed=seed + 1)
    result, permuted = (
        zero_shot(images, labels, prompts, classes),
        zero_shot(images[order], labels[order], prompts[asked], classes[asked]),
    )
    assert (result.top1, result.top5) == (permuted.top1, permuted.top5)
    assert torch.equal(result.predictions[order], permuted.predictions)
