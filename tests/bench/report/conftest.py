"""Sizes of full-size students that are easy to reckon with."""

import pytest

from bench.report.paper import claim_figures
from tests.bench.report.paper.claimed import STUDENTS

SIZES_MB = dict(zip(STUDENTS, (1.0, 0.75, 8.0, 1.25, 40.0, 24.0), strict=True))


@pytest.fixture
def sizes(monkeypatch):
    counted = [
        {"dataset": dataset, "student": student, "size_mb": size_mb}
        for dataset in ("coco", "tiny-imagenet")
        for student, size_mb in SIZES_MB.items()
    ]
    monkeypatch.setattr(claim_figures, "full_sizes", lambda: counted)
