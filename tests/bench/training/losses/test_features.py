"""Losses of features and of attention maps, against hand computations."""

import math

import pytest
import torch

from bench.training.losses.attention_transfer import attention_transfer
from bench.training.losses.feature_cosine import feature_cosine
from bench.training.losses.feature_mse import feature_mse
from tests.bench.training.losses.drawn import embeddings


def test_attention_transfer_by_hand():
    """Orthogonal maps are sqrt(2) apart, equal ones 0, whatever their scale."""
    student = torch.tensor([[5.0, 0, 0, 0], [0, 0, 2.0, 0]])
    teacher = torch.tensor([[0, 0.1, 0, 0], [0, 0, 7.0, 0]])
    assert attention_transfer(student, teacher).item() == pytest.approx(math.sqrt(2) / 2, rel=1e-6)


def test_attention_transfer_pools_the_larger_grid():
    """A 4 x 4 map whose quarters have means 1, 2, 3, 4 equals the 2 x 2 map of these means."""
    large = torch.tensor([[1.0, 2], [3, 4]]).repeat_interleave(2, 0).repeat_interleave(2, 1)
    large[0, 0], large[0, 1] = 0.5, 1.5  # the mean of the quarter stays 1
    small = torch.tensor([[1.0, 2, 3, 4]])
    assert attention_transfer(small, large.reshape(1, 16)).item() == pytest.approx(0, abs=1e-6)
    assert attention_transfer(large.reshape(1, 16), small).item() == pytest.approx(0, abs=1e-6)


def test_feature_mse_by_hand():
    """Rows are 3 and 5 apart: (9 + 25) / 2, whatever the width."""
    student, teacher = torch.tensor([[1.0, 0, 2], [3, 1, 4]]), torch.tensor([[1.0, 3, 2], [0, 1, 0]])
    assert feature_mse(student, teacher).item() == 17.0


def test_feature_cosine_by_hand():
    """Equal directions 0, orthogonal ones 1, opposite ones 2, whatever the lengths."""
    student, teacher = torch.tensor([[2.0, 0], [3, 0], [1, 1]]), torch.tensor([[5.0, 0], [0, 1], [-4, -4]])
    assert feature_cosine(student, teacher).item() == pytest.approx(1.0, rel=1e-6)
    assert feature_cosine(student[:1], teacher[:1]).item() == pytest.approx(0, abs=1e-6)


def test_of_unit_vectors_the_squared_distance_is_twice_the_cosines_loss():
    student, teacher = embeddings(8, 5, seed=1), embeddings(8, 5, seed=2)
    expected = 2 * feature_cosine(student, teacher).item()
    assert feature_mse(student, teacher).item() == pytest.approx(expected, rel=1e-9)
