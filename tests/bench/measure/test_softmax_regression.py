"""Softmax regression's loss, gradient and Hessians against autograd; the fit itself is tested as the linear probe."""

import pytest
import torch
from threadpoolctl import threadpool_info, threadpool_limits
from torch.nn import functional

from bench.measure import softmax_regression
from tests.bench.measure.drawn import clusters, seeded, standard, unit


def test_the_gradient_is_autograds(monkeypatch):
    """Of every other sample, in tiles that do not divide them."""
    monkeypatch.setattr(softmax_regression, "ROWS", {"cpu": 7})
    embeddings, targets, rows = unit(50, 7), torch.arange(50) % 4, torch.arange(0, 50, 2)
    mean, scale = torch.randn(7, generator=seeded(2)).double(), torch.rand(7, generator=seeded(3)).double()
    features = functional.pad((embeddings.double() - mean) * scale, (0, 1), value=1.0)[rows]
    coefficients = unit(8, 4, seed=1).double().requires_grad_()
    expected = functional.cross_entropy(features @ coefficients, targets[rows])
    (expected + 0.15 * coefficients[:-1].square().sum()).backward()
    samples = softmax_regression.Samples(embeddings, targets, mean, functional.pad(scale, (0, 1), value=1.0), rows)
    loss, gradient = softmax_regression.objective(samples, coefficients.detach(), 0.3)
    torch.testing.assert_close(loss, (expected + 0.15 * coefficients[:-1].square().sum()).detach())
    torch.testing.assert_close(gradient, coefficients.grad)


def test_hessians_are_autograds():
    """Of each class's coefficients alone, and at uniform probabilities of 4 classes, whose p(1 - p) is 3 / 16 and not 1 / 4."""
    embeddings, targets, coefficients = unit(300, 7), torch.arange(300) % 4, unit(8, 4, seed=1).double()
    samples = softmax_regression.Samples(embeddings, targets, *standard(embeddings), torch.arange(300))
    features = functional.pad((embeddings.double() - samples.mean) * samples.scale[:-1], (0, 1), value=1.0)

    def expected(at):
        whole = torch.func.hessian(lambda these: functional.cross_entropy(features @ these, targets))(at)
        return torch.stack([whole[:, own, :, own] for own in range(4)])

    def matrices(hessian, penalty=0.5):
        there, back = hessian.roots(penalty)
        torch.testing.assert_close(there @ back, torch.eye(8).double().expand_as(there))
        return there @ there - penalty * torch.eye(8).double()

    torch.testing.assert_close(matrices(samples.by_class(coefficients)), expected(coefficients), rtol=0, atol=1e-6)
    uniform = matrices(samples.at_uniform(4)) * 3 / 4
    torch.testing.assert_close(uniform.expand(4, 8, 8), expected(torch.zeros_like(coefficients)))


@pytest.mark.parametrize("size", [1.0, 300.0])  # the larger puts most logits far below the lowest
def test_in_float32_the_objective_is_the_same_to_its_precision(size):
    train, labels = clusters(300, 6, 16, noise=2.0)
    samples = softmax_regression.Samples(
        train, labels, train.mean(0).double(), torch.ones(17).double(), torch.arange(300)
    )
    coefficients = size * unit(17, 6, seed=1).double()
    (loss, gradient), (expected, slope) = (
        softmax_regression.objective(samples, coefficients, 0.3, precision)
        for precision in (torch.float32, torch.float64)
    )
    torch.testing.assert_close(loss, expected, rtol=1e-6, atol=0)
    torch.testing.assert_close(gradient, slope, rtol=1e-6, atol=1e-5)


def test_scipys_blas_has_as_many_threads_as_pytorch(monkeypatch):
    train, labels = clusters(60, 3, 8, noise=1.0)
    seen, objective = set(), softmax_regression.objective

    def counted(*args):
        seen.update(library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas")
        return objective(*args)

    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        with threadpool_limits(2, user_api="blas"):
            samples = softmax_regression.Samples(train, labels, *standard(train), torch.arange(60))
            monkeypatch.setattr(softmax_regression, "objective", counted)
            softmax_regression.fit(
                samples, torch.zeros(9, 3, dtype=torch.float64), 0.1, samples.at_uniform(3), tolerance=1e-3
            )
            assert {one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas"} == {2}
    finally:
        torch.set_num_threads(before)
    assert seen == {1}
