"""PHI-S: one scalar standardises every dimension; the Hadamard matrices behind it."""

import pytest
import torch
from scipy.linalg import hadamard as sylvester

from bench.features.phi_s import fit_phi_s, hadamard


def drawn(count, width, seed=0):
    """Rows whose dimensions differ in mean and variance, and depend on each other."""
    generator = torch.Generator().manual_seed(seed)
    mixed = torch.randn(width, width, generator=generator) * torch.logspace(-1, 1, width)
    return torch.randn(count, width, generator=generator) @ mixed + 3


@pytest.mark.parametrize("width", [1, 2, 4, 12, 20, 28, 64, 768])
def test_a_hadamard_matrix_is_orthogonal_and_all_its_entries_have_one_size(width):
    matrix = hadamard(width)
    torch.testing.assert_close(matrix @ matrix.T, torch.eye(width, dtype=torch.float64))
    torch.testing.assert_close(matrix.abs(), torch.full_like(matrix, width**-0.5))


def test_hadamard_matrices_are_those_of_scipy_and_of_the_authors_code():
    """NVlabs/RADIO, 2fe5f72, examples/common/hadamard.py: Paley's first construction of 12, his second of 28."""
    torch.testing.assert_close(8 * hadamard(64), torch.tensor(sylvester(64)).double())
    for width, number, row in ((12, 5, "-++-++-+---+"), (28, 5, "+-+---+--++-+--+-+-+-++-+--+")):
        assert "".join("+" if value > 0 else "-" for value in hadamard(width)[number]) == row


@pytest.mark.parametrize("width", [12, 64])
def test_every_dimension_has_mean_0_and_variance_1_and_distances_keep_their_proportions(width):
    rows = drawn(500, width)
    after = fit_phi_s(rows)(rows)
    torch.testing.assert_close(after.mean(dim=0), torch.zeros(width), atol=1e-5, rtol=0)
    torch.testing.assert_close(after.var(dim=0), torch.ones(width), atol=1e-4, rtol=0)
    ratio = torch.pdist(after) / torch.pdist(rows)
    torch.testing.assert_close(ratio, (width / rows.var(dim=0).sum()).sqrt().expand_as(ratio), atol=0, rtol=1e-3)


def test_the_map_can_be_inverted():
    rows = drawn(300, 20)
    layer = fit_phi_s(rows)
    back = torch.linalg.solve(layer.weight, (layer(rows) - layer.bias).T).T
    torch.testing.assert_close(back, rows, atol=1e-3, rtol=1e-4)


def test_a_width_without_a_hadamard_matrix_comes_near():
    rows = drawn(500, 90)
    layer = fit_phi_s(rows)
    variances = layer(rows).var(dim=0)
    assert variances.mean().item() == pytest.approx(1, abs=1e-4) and rows.var(dim=0).std() > 10 * variances.std()


@pytest.mark.parametrize("rows", [torch.ones(8, 4), torch.eye(12)[:3]], ids=["constant", "fewer than dimensions"])
def test_features_that_do_not_span_their_space_stay_finite(rows):
    after = fit_phi_s(rows)(rows)
    assert after.isfinite().all() and after.sum(dim=0).abs().max() < 1e-3
