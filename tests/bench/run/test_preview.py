"""The plan: how long it expects cases to take, from earlier runs here and from the published report; and as JSON."""

import dataclasses
import json

import pytest

from bench import __main__ as command
from bench.kit.environment import processor
from bench.plan import matrix
from bench.results import record
from bench.run import lengths, preview
from tests.bench.made import made

HERE = f"cpu ({processor()}, 2 threads)"  # of a record that a test makes


def case(seed=None, epochs=10, control=None):
    """One case of pocket, with its seed in the id where one is given."""
    cases = matrix.cases(matrix.load(), "pocket", seeds=(seed or 0, 99), controls=("no-distillation",))
    chosen = next(one for one in cases if (one.epochs, one.control) == (epochs, control))
    return dataclasses.replace(chosen, names_seed=seed is not None)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A results folder; the published reports are beside it."""
    monkeypatch.setattr(preview, "ROOT", tmp_path)
    return tmp_path / "here"


def took(folder, seconds, one, **changes):
    protocol = {"train_images": one.train_samples, "test_images": one.test_samples}
    record.write(made(one, seconds=seconds, **{"fingerprint": "older", "protocol": protocol} | changes), folder)


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
        "0 reusable, 3 to run in 2 training runs, after 1 pass of teachers; expected time about 33 s and 1 case of "
        "unknown length, by earlier runs on " + HERE
    )


def test_passes_over_augmented_views_are_counted_once_for_equal_views(here):
    """Of recipes-pocket's five recipes two have the same four views."""
    cases = matrix.cases(matrix.load(), "recipes-pocket")
    assert "after 1 pass of teachers and 4 over augmented views; " in preview.describe(cases, here, "recipes-pocket")


def test_the_time_of_several_workers_is_that_of_the_last_one_to_end(here):
    for seed, seconds in enumerate((40.0, 30.0, 20.0)):
        took(here, seconds, case(seed))
    cases = tuple(case(seed) for seed in range(3))
    for workers, expected in (
        (1, "about 90 s"),
        (2, "of 2 workers about 50 s, 90 s of work"),
        (8, "of 8 workers about 40 s, 90 s of work"),
    ):
        assert f"expected time {expected}, by earlier runs on {HERE}" in preview.describe(
            cases, here, "pocket", workers
        )


def test_a_seed_has_its_own_time_else_that_of_others(here):
    took(here, 10.0, case(0))
    took(here, 30.0, case(1))
    text = preview.describe((case(0), case(1), case(2)), here, "pocket")
    assert [line[-6:-2] for line in text.splitlines()[1:4]] == ["10.0", "30.0", "20.0"]


def test_a_record_without_a_seed_here_goes_before_published_ones_for_each_seed(here):
    took(here.parent / "reports" / "pocket", 100.0, case(1))
    took(here, 7.0, case())
    assert preview.describe((case(0), case(1)), here, "pocket").endswith(
        f"expected time about 14 s, by earlier runs on {HERE}"
    )


def test_the_plan_as_json_has_each_case_with_its_fingerprint_and_whether_it_is_reusable(here, capsys):
    finished, other = case(), case(epochs=5)
    took(here, 7.0, finished, fingerprint=finished.fingerprint)
    took(here, 7.0, other)
    assert command.main(["plan", "--json", "--results", str(here), "--controls", "no-distillation"]) == 0
    rows = {row["id"]: row for row in json.loads(capsys.readouterr().out)}
    cases = matrix.cases(matrix.load(), "pocket", controls=("no-distillation",))
    assert {name: row["fingerprint"] for name, row in rows.items()} == {one.id: one.fingerprint for one in cases}
    assert [name for name, row in rows.items() if row["reusable"]] == [finished.id]
    assert rows[finished.id] == {
        "id": finished.id, "fingerprint": finished.fingerprint, "loss": finished.loss, "epochs": 10, "seed": 0,
        "control": None, "reusable": True,
    }  # fmt: skip


def test_a_run_on_fewer_images_tells_no_time(here, monkeypatch):
    chosen = next(one for one in matrix.cases(matrix.load(), "real-pocket") if one.epochs == 5)
    took(here, 155.0, chosen, protocol={"train_images": 1_000, "test_images": 500})
    splits = {name: {"images": n, "identity": "", "concepts": None} for name, n in (("train", 1_000), ("test", 500))}
    monkeypatch.setattr(lengths.prepared, "manifest", lambda source: {"splits": splits})
    assert "about 155.0 s" in preview.describe((chosen,), here, "real-pocket")
    splits["train"]["images"] = 1_000_000
    assert "time unknown" in preview.describe((chosen,), here, "real-pocket")
