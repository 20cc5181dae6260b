"""The plan: how long it expects cases to take, from earlier runs here and from the published report."""

import dataclasses
from types import SimpleNamespace

import pytest

from bench.plan import matrix
from bench.results import record
from bench.run import preview
from tests.bench.made import made


def case(seed=None, epochs=10, control=None):
    """One case of pocket, with its seed in the id where one is given."""
    cases = matrix.cases(matrix.load(), "pocket", seeds=(seed or 0, 99), controls=("no-distillation",))
    found = next(one for one in cases if (one.epochs, one.control) == (epochs, control))
    return found if seed is not None else dataclasses.replace(found, several_seeds=False)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A results folder; the published reports are beside it."""
    monkeypatch.setattr(preview, "catalog", SimpleNamespace(ROOT=tmp_path))
    return tmp_path / "here"


def took(folder, seconds, one, **changes):
    record.write(made(one, fingerprint="older", seconds=seconds, **changes), folder)


def test_times_of_published_seeds_are_averaged_for_a_case_without_one(here):
    published = here.parent / "reports" / "pocket"
    for seed, seconds in enumerate((10.0, 20.0, 60.0)):
        took(published, seconds, case(seed))
        took(published, seconds / 10, case(seed, control="no-distillation"))
    took(published, 500.0, case(3), status="failed")
    text = preview.describe((case(), case(control="no-distillation"), case(epochs=5)), here, "pocket")
    first, control, shorter = text.splitlines()[1:4]
    # By hand: (10 + 20 + 60) / 3 and a tenth of it, together 33 s.
    assert first.endswith("about  30.0 s") and control.endswith("about   3.0 s") and shorter.endswith("time unknown")
    assert text.endswith(
        "0 reusable, 3 to run; expected time about 33 s and 1 cases of unknown length, by earlier runs"
    )


def test_a_seed_has_its_own_time_else_that_of_others(here):
    took(here, 10.0, case(0))
    took(here, 30.0, case(1))
    text = preview.describe((case(0), case(1), case(2)), here, "pocket")
    assert [line[-6:-2] for line in text.splitlines()[1:4]] == ["10.0", "30.0", "20.0"]


def test_a_record_without_a_seed_tells_the_time_of_each_seed(here):
    took(here, 7.0, case())
    assert preview.describe((case(0), case(1)), here, "pocket").endswith("expected time about 14 s, by earlier runs")


def test_times_from_here_go_before_published_ones(here):
    took(here.parent / "reports" / "pocket", 100.0, case(1))
    took(here, 7.0, case())
    assert preview.describe((case(1),), here, "pocket").endswith("expected time about 7 s, by earlier runs")
