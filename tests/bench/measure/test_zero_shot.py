"""Zero-shot classification against a loop and scikit-learn; ties, missing prompts, NaN, chance."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom
from sklearn.metrics import accuracy_score, top_k_accuracy_score
from torch.nn import functional

from bench.measure import tiles
from bench.measure.zero_shot import zero_shot


def unit(*shape, seed=0):
    return functional.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


def integers(high, count, seed):
    return torch.randint(0, high, (count,), generator=torch.Generator().manual_seed(seed))


def test_scores_are_those_of_a_loop_over_classes():
    """Prompts in varying number and in any order; numpy's means and scikit-learn's accuracies are the oracle."""
    images, labels = unit(300, 12), integers(9, 300, 1)
    prompt_classes = torch.cat([torch.arange(9), integers(9, 31, 2)])
    prompts = 3 * unit(40, 12, seed=3) * torch.rand(40, 1, generator=torch.Generator().manual_seed(4))
    weights = []
    for label in range(9):
        own = prompts[prompt_classes == label].double().numpy()
        mean = (own / np.linalg.norm(own, axis=1, keepdims=True)).mean(axis=0)
        weights.append(mean / np.linalg.norm(mean))
    scores = images.double().numpy() @ np.stack(weights).T
    found = zero_shot(images, labels, prompts, prompt_classes)
    assert found.predictions.tolist() == scores.argmax(axis=1).tolist()
    assert found.top1 == pytest.approx(100 * accuracy_score(labels, scores.argmax(axis=1)))
    assert found.top5 == pytest.approx(100 * top_k_accuracy_score(labels, scores, k=5))


def test_images_without_a_label_are_left_out():
    prompts, classes = torch.eye(4), torch.arange(4)
    images = torch.eye(4)[[0, 1, 2, 3, 3]]
    found = zero_shot(images, torch.tensor([0, -1, 1, 3, -1]), prompts, classes)
    assert found.top1 == pytest.approx(200 / 3) and found.predictions.tolist() == [0, 2, 3]
    with pytest.raises(ValueError, match="no image has a label"):
        zero_shot(images, torch.full((5,), -1), prompts, classes)


def test_a_label_without_a_prompt_is_never_hit_and_labels_need_not_be_consecutive():
    found = zero_shot(torch.eye(3), torch.tensor([20, 7, 3]), torch.eye(3)[:2], torch.tensor([20, 3]))
    assert found.top1 == pytest.approx(100 / 3) and found.predictions[:2].tolist() == [20, 3]
    # With two classes every class that exists is among the best five; label 7 does not exist.
    assert found.top5 == pytest.approx(200 / 3)


def test_one_class():
    assert (
        zero_shot(unit(5, 4), torch.zeros(5, dtype=torch.long), unit(2, 4), torch.zeros(2, dtype=torch.long)).top1
        == 100
    )


def test_collapsed_embeddings_score_nothing():
    same, labels = unit(1, 16), torch.arange(24) % 8
    for images, prompts in (
        (same.expand(24, 16), same.expand(8, 16)),
        (unit(24, 16), same.expand(8, 16)),
    ):
        found = zero_shot(images, labels, prompts, torch.arange(8))
        assert (found.top1, found.top5) == (0, 0)


def test_classes_with_the_same_prompts_tie_and_lose():
    """Two prompts in either order sum to the same class but for rounding; whichever is true, it loses to the other."""
    first, second = unit(2, 64)
    prompts, classes = torch.stack([first, second, second, first]), torch.tensor([0, 0, 1, 1])
    found = zero_shot(unit(50, 64, seed=1), torch.arange(50) % 2, prompts, classes)
    assert found.top1 == 0 and torch.equal(found.predictions, 1 - torch.arange(50) % 2)


def test_values_that_are_not_numbers_score_nothing_even_among_few_classes():
    labels, broken = torch.arange(12) % 3, torch.full((12, 4), float("nan"))
    for images, prompts in ((broken, unit(3, 4)), (unit(12, 4), broken[:3])):
        found = zero_shot(images, labels, prompts, torch.arange(3))
        assert (found.top1, found.top5, found.predictions.tolist()) == (0, 0, [-1] * 12)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6))
def test_a_permuted_batch_gives_the_same_predictions(seed):
    images, labels = unit(40, 6, seed=seed), integers(7, 40, seed)
    prompts, classes = unit(20, 6, seed=seed + 1), torch.arange(20) % 7
    order = torch.randperm(40, generator=torch.Generator().manual_seed(seed))
    asked = torch.randperm(20, generator=torch.Generator().manual_seed(seed + 1))
    found, permuted = (
        zero_shot(images, labels, prompts, classes),
        zero_shot(images[order], labels[order], prompts[asked], classes[asked]),
    )
    assert (found.top1, found.top5) == (permuted.top1, permuted.top5)
    assert torch.equal(found.predictions[order], permuted.predictions)


def test_results_do_not_depend_on_tiles(monkeypatch):
    arguments = unit(50, 8), integers(10, 50, 1), unit(30, 8, seed=2), torch.arange(30) % 10
    whole = zero_shot(*arguments)
    monkeypatch.setattr(tiles, "QUERIES", 7)
    cut = zero_shot(*arguments)
    assert (cut.top1, cut.top5) == (whole.top1, whole.top5) and torch.equal(cut.predictions, whole.predictions)


def test_shuffled_labels_score_chance():
    """1 / C and 5 / C for balanced labels in a random order; 99.9 % binomial interval."""
    prompts, labels = unit(20, 64), torch.arange(2000) % 20
    images = functional.normalize(prompts[labels] + 0.1 * unit(2000, 64, seed=1), dim=1)
    assert zero_shot(images, labels, prompts, torch.arange(20)).top1 == 100
    for seed in range(3):
        shuffled = labels[torch.randperm(2000, generator=torch.Generator().manual_seed(seed))]
        found = zero_shot(images, shuffled, prompts, torch.arange(20))
        for value, chance in ((found.top1, 1 / 20), (found.top5, 5 / 20)):
            low, high = binom.interval(0.999, 2000, chance)
            assert low <= value * 20 <= high
