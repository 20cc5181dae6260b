"""The linear probe against scikit-learn's LogisticRegression, and on awkward classes and features."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import top_k_accuracy_score
from sklearn.preprocessing import StandardScaler
from torch.nn import functional

from bench.measure import probe, softmax_regression
from bench.measure.probe import linear_probe
from tests.bench.measure.drawn import clusters, permutation, standard, unit


def scikit_learn(train, labels, regularisation):
    """Its objective is C * sum of cross-entropies + ||W||^2 / 2, ours their mean + regularisation / 2 * ||W||^2.

    Of two classes it fits w, the difference of our two vectors w / 2 and -w / 2, whose ||W||^2 is half of ||w||^2.
    """
    scaler = StandardScaler().fit(train.double().numpy())
    penalty = regularisation * len(train) / (2 if len(labels.unique()) == 2 else 1)
    model = LogisticRegression(C=1 / penalty, tol=1e-8, max_iter=10_000)
    return scaler, model.fit(scaler.transform(train.double().numpy()), labels.numpy())


@pytest.mark.parametrize("spread", [0.0, 2.0])
def test_accuracies_are_scikit_learns_at_the_chosen_regularisation(spread):
    train, labels = clusters(600, 8, 24, noise=2.0, spread=spread)
    test, truth = clusters(400, 8, 24, noise=2.0, seed=1, spread=spread)
    result = linear_probe(train, labels, test, truth)
    scaler, oracle = scikit_learn(train, labels, result.regularisation)
    features = scaler.transform(test.double().numpy())
    assert result.converged and 40 < result.top1 < 95
    assert result.top1 == pytest.approx(100 * oracle.score(features, truth), abs=0.26)  # one sample of 400
    probabilities = oracle.predict_proba(features)
    assert result.top5 == pytest.approx(100 * top_k_accuracy_score(truth, probabilities, k=5), abs=0.26)
    assert (result.predictions.numpy() == oracle.predict(features)).mean() >= 0.995


@pytest.mark.parametrize("regularisation", [0.1, 1e-4, 1e-5, 1e-6])
@pytest.mark.parametrize(("classes", "width"), [(12, 64), (2, 16)])
def test_predictions_are_those_of_scikit_learns_converged_fit_at_any_regularisation(
    monkeypatch, regularisation, classes, width
):
    """Separable samples and a weak penalty: a gradient of 1e-5 is then far from the minimum."""
    monkeypatch.setattr(probe, "REGULARISATIONS", (regularisation,))
    train, labels = clusters(300, classes, width, noise=2.0, spread=1.0)
    test, truth = clusters(2000, classes, width, noise=2.0, seed=1, spread=1.0)
    result = linear_probe(train, labels, test, truth)
    scaler, oracle = scikit_learn(train, labels, regularisation)
    differ = (result.predictions.numpy() != oracle.predict(scaler.transform(test.double().numpy()))).sum()
    assert result.converged and differ <= 2


@pytest.mark.parametrize("limit", [0, softmax_regression.HESSIANS])  # with the limit 0 one Hessian serves all
@pytest.mark.parametrize("regularisation", [1.0, 0.01, 1e-4])
def test_coefficients_are_scikit_learns(monkeypatch, regularisation, limit):
    monkeypatch.setattr(softmax_regression, "HESSIANS", limit)
    monkeypatch.setattr(probe, "GRADIENT_TOLERANCE", 1e-9)
    train, labels = clusters(500, 5, 12, noise=2.0, spread=1.0)
    _, oracle = scikit_learn(train, labels, regularisation)
    coefficients = probe.fitted(train, labels, regularisation=regularisation).coefficients
    np.testing.assert_allclose(coefficients[:-1].T.numpy(), oracle.coef_, atol=1e-5)
    np.testing.assert_allclose(coefficients[-1].numpy(), oracle.intercept_, atol=1e-5)


def test_many_samples_of_which_no_second_copy_is_kept_fit_alike(monkeypatch):
    made = clusters(2500, 8, 24, noise=2.0)
    kept = probe.fitted(*made).coefficients
    monkeypatch.setattr(softmax_regression, "KEPT", 0)
    assert torch.equal(probe.fitted(*made).coefficients, kept)


def test_a_fit_that_is_cut_short_is_not_called_converged(monkeypatch):
    train, labels = clusters(300, 6, 16, noise=2.0)
    assert linear_probe(train, labels, train, labels).converged
    monkeypatch.setattr(softmax_regression, "ITERATIONS", 2)
    assert not linear_probe(train, labels, train, labels).converged


def test_the_regularisation_is_chosen_for_unseen_samples(monkeypatch):
    """Noise in 60 directions and 320 samples to fit: a weak penalty is perfect on the training set and worse beyond."""
    train, labels = clusters(400, 4, 60, noise=3.0)
    test, truth = clusters(2000, 4, 60, noise=3.0, seed=1)
    chosen = linear_probe(train, labels, test, truth)
    assert chosen.regularisation >= 0.1
    monkeypatch.setattr(probe, "REGULARISATIONS", (1e-6,))
    weak = linear_probe(train, labels, test, truth)
    assert weak.regularisation == 1e-6 and weak.top1 < chosen.top1 - 3
    assert linear_probe(train, labels, train, labels).top1 == 100


def test_weaker_ones_than_one_that_overfits_are_left_out_and_none_would_have_been_better(monkeypatch):
    """The whole list by scikit-learn: hits on the held-out samples."""
    train, labels = clusters(400, 4, 60, noise=3.0)
    tried, fit = [], probe.fit
    monkeypatch.setattr(probe, "fit", lambda *args: (tried.append(args[2]), fit(*args)))
    chosen = linear_probe(train, labels, train, labels).regularisation
    held_out = probe._held_out(probe.Samples(train, labels, *standard(train), torch.arange(400)), 4, seed=0)
    hits = {}
    for regularisation in probe.REGULARISATIONS:
        scaler, oracle = scikit_learn(train[~held_out], labels[~held_out], regularisation)
        unseen = scaler.transform(train[held_out].double().numpy())
        hits[regularisation] = (oracle.predict(unseen) == labels[held_out].numpy()).sum()
    best = max(hits, key=hits.get)
    assert hits[chosen] >= hits[best] - 1  # standardised by the samples to fit alone: one hit may differ
    *choosing, final = tried
    assert final == chosen and 2 <= len(choosing) < len(hits)
    assert all(hits[regularisation] < hits[best] - 3 for regularisation in set(hits) - set(choosing))


def test_of_equal_regularisations_the_strongest_is_taken():
    separable, labels = clusters(200, 4, 16, noise=0.1)
    assert linear_probe(separable, labels, separable, labels).regularisation == max(probe.REGULARISATIONS)


@pytest.mark.parametrize("seed", range(3))
def test_the_held_out_part_is_a_fifth_of_each_class(seed):
    labels = torch.tensor([0] * 50 + [1] * 10 + [2] * 4 + [3] * 2 + [4])
    samples = probe.Samples(
        unit(len(labels), 5), labels, torch.zeros(5).double(), torch.ones(6).double(), torch.arange(67)
    )
    held_out = probe._held_out(samples, 5, seed)
    assert labels[held_out].bincount(minlength=5).tolist() == [10, 2, 1, 1, 0]
    assert not torch.equal(held_out, probe._held_out(samples, 5, seed + 1))


def test_the_result_is_repeatable_and_does_not_depend_on_order():
    train, labels = clusters(400, 6, 16, noise=1.5)
    test, truth = clusters(200, 6, 16, noise=1.5, seed=1)
    result = linear_probe(train, labels, test, truth)
    for order, asked in ((permutation(400, 1), permutation(200, 2)), (torch.arange(400), torch.arange(200))):
        again = linear_probe(train[order], labels[order], test[asked], truth[asked])
        assert (again.top1, again.top5) == (result.top1, result.top5)
        assert again.regularisation == result.regularisation
        assert torch.equal(again.predictions, result.predictions[asked])


def test_one_class_only():
    result = linear_probe(unit(20, 4), torch.full((20,), 3), unit(5, 4), torch.tensor([3, 3, 3, 3, 8]))
    assert (result.top1, result.top5, result.converged) == (80, 80, True) and result.predictions.tolist() == [3] * 5


def test_classes_with_a_single_sample_and_classes_that_training_lacks(monkeypatch):
    monkeypatch.setattr(probe, "REGULARISATIONS", (1e-4,))
    train, labels = clusters(60, 3, 16, noise=0.2)
    train, labels = torch.cat([train, -train[:1]]), torch.cat([labels, torch.tensor([40])])
    result = linear_probe(train, labels, torch.cat([train[:3], -train[:1], train[:1]]), torch.tensor([0, 1, 2, 40, 7]))
    assert result.predictions.tolist() == [0, 1, 2, 40, 0] and result.top1 == 80 and result.top5 == 80


def test_a_collapsed_embedding_scores_nothing():
    same, labels = unit(1, 16).expand(120, 16), torch.arange(120) % 12
    result = linear_probe(same, labels, same, labels)
    assert (result.top1, result.top5, result.converged) == (0, 0, True)


def test_embeddings_that_are_not_numbers_score_nothing():
    train, labels = clusters(60, 3, 8, noise=0.2)
    broken = train.clone()
    broken[7, 2] = float("nan")
    result = linear_probe(broken, labels, train, labels)
    assert (result.top1, result.top5, result.converged) == (0, 0, False) and result.predictions.tolist() == [-1] * 60
    result = linear_probe(train, labels, broken, labels)
    assert result.top1 == pytest.approx(100 * 59 / 60) and result.predictions[7] == -1


def test_one_linear_layer_on_the_embeddings_as_they_are_predicts_what_the_probe_does():
    train, labels = clusters(300, 5, 16, noise=2.0, spread=2.0)
    train[:, 3] = 0.25  # constant, and so of no use to standardised features
    test, truth = clusters(400, 5, 16, noise=2.0, seed=1, spread=2.0)
    weight, bias = probe.fitted(train, labels + 7).linear
    assert weight.shape == (5, 16) and weight.dtype == torch.float32 and (weight[:, 3] == 0).all()
    predictions = functional.linear(test, weight, bias).argmax(dim=1) + 7
    expected = linear_probe(train, labels + 7, test, truth + 7).predictions
    assert (predictions == expected).double().mean() >= 0.995
