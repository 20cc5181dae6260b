"""A contributed case that is trained again shows its figures, or says which it does not show."""

import pytest

from bench.plan import matrix
from bench.plan.schema import Tolerance
from bench.results.contributed import line_of
from bench.run import again
from tests.forking import LITTLE

TOLERANCES = {
    "knn_top1": Tolerance(absolute=1.0),
    "parameters": Tolerance(absolute=0),
    "epoch_seconds": Tolerance(relative=0),
}


@pytest.fixture(scope="module")
def quick():
    """Costs and probes take next to no time."""
    with pytest.MonkeyPatch.context() as patch:
        for module, name, value in LITTLE:
            patch.setattr(f"{module}.{name}", value)
        yield


@pytest.fixture(scope="module")
def entry(quick, tiny_matrix):
    """The record of a case that takes a second."""
    cases = matrix.cases(matrix.load(tiny_matrix), "tiny", tiny_matrix)
    return again.trained(next(case for case in cases if case.id == "shapes-dino-projection-1ep"))


@pytest.fixture(scope="module")
def line(entry):
    return line_of(entry)


@pytest.fixture
def known(entry, monkeypatch):
    """What is trained again is not: the record is known."""
    monkeypatch.setattr(again, "trained", lambda case: entry.model_copy(update={"fingerprint": case.fingerprint}))


def retrained(line):
    said = []
    return again.retrain([line], 2, TOLERANCES, said.append), said


def test_its_figures_come_again_with_the_same_weights(line):
    assert retrained(line) == ([], ["shapes-dino-projection-1ep, trained again: its figures, the same weights"])


@pytest.mark.parametrize(("change", "message"), [(5.0, "knn_top1"), (-5.0, "knn_top1")])
def test_other_figures_are_a_fault_whether_worse_or_better(known, line, change, message):
    figures = line.figures | {"knn_top1": line.figures["knn_top1"] + change}
    [fault], [said] = retrained(line.model_copy(update={"figures": figures}))
    assert fault.startswith(f"{line.id}, trained again: {line.id}: {message}") and "differs" in said


def test_another_teacher_is_a_fault(known, line):
    weights = line.weights.model_copy(update={"teacher": "0" * 64})
    [fault], _ = retrained(line.model_copy(update={"weights": weights}))
    assert "has other weights here" in fault


def test_without_a_case_that_takes_seconds_there_is_nothing_to_see(line):
    [fault], _ = retrained(line.model_copy(update={"reads": "pixels"}))
    assert fault.startswith("no contributed case can be trained again")
