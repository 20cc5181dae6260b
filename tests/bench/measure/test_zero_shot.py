"""Zero-shot classification against a loop and scikit-learn; ties, missing prompts, NaN, chance."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, top_k_accuracy_score

from bench.measure.zero_shot import zero_shot
from tests.bench.measure.drawn import integers, permutation, seeded, unit


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
