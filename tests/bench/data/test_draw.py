"""Outlines: where they are; and that batches leave no trace."""

import numpy as np
import pytest

from bench import data
from bench.data import draw


@pytest.mark.parametrize("kind", draw.OUTLINES)
def test_outlines_stay_inside_the_unit_circle_and_have_an_inside(kind):
    still = np.zeros(1, dtype=np.float32)
    u, v = draw.local(64, still, still, still + 0.5, still)
    inside = draw.coverage(kind, u, v, still + 1) > 0.5
    assert not inside[np.hypot(u, v) > 1.1].any()
    assert 0.05 < inside[np.hypot(u, v) < 1].mean() < 0.95


@pytest.mark.parametrize("name", ["shapes", "scenes"])
def test_pictures_are_the_same_however_many_are_drawn_together(monkeypatch, name):
    whole = data.load(name, "train", 90).pixels
    monkeypatch.setattr(draw, "BATCH", 7)
    assert data.load(name, "train", 90).pixels.equal(whole)
