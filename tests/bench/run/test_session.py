"""What the cases of a session share, when it is freed, and what a case needs before it starts."""

import weakref
from dataclasses import replace

import pytest
import torch

from bench.features import columns
from bench.features.precision import Device
from bench.kit.progress import Progress
from bench.measure.timing import PeakMemory
from bench.plan import matrix
from bench.results import record
from bench.run import case as case_module
from bench.run import session as session_module
from bench.run.failures import CaseError
from bench.run.session import Session
from teachers import WeightsError


@pytest.fixture
def cases(tiny_matrix):
    return matrix.cases(matrix.load(tiny_matrix), "tiny", tiny_matrix)


@pytest.fixture
def session(cases, tmp_path):
    return Session(tmp_path, cases[:1], {cases[0].id}, Progress(None), "cpu")


def test_another_teachers_features_are_gone_before_a_case_takes_memory(cases, session, tmp_path):
    session._shared_by(cases[0])
    shared = []
    for case in (cases[0], next(case for case in cases if case.teacher != cases[0].teacher)):
        with session.recording(case):
            shared.append(len(session._shared))
    assert shared == [1, 0]


def run_whole(session, case):
    """Run a case of one epoch, and measure it."""
    with session.recording(case) as entry:
        run = session.training(case)
        run.epoch()
        session.measure(case, run, entry)
    return run


def test_what_a_case_was_trained_and_measured_with_goes_with_its_teacher(cases, session):
    run = run_whole(session, cases[0])
    features = run.shared.features
    references = [weakref.ref(each) for each in (run.student, features.train, features.test)]
    del run, features
    session._release()
    assert [reference() for reference in references] == [None] * 3


@pytest.mark.parametrize("free", [0, 2**40])
def test_a_record_says_whether_its_features_fitted(cases, session, tmp_path, monkeypatch, free):
    """With no memory free all is streamed; with a terabyte the few images of the tiny matrix lie there whole."""
    monkeypatch.setattr(columns, "free_bytes", lambda device: free)
    run_whole(session, cases[0])
    entry = record.load(tmp_path, cases[0].id)
    assert (entry.status, entry.case["epochs"]) == ("done", 1)
    assert entry.protocol["features"] == ("on the device" if free else "streamed from disk")


@pytest.mark.parametrize(("geometry", "short_side"), [("published", 32), ("squash", None)])
def test_a_record_says_what_its_teacher_saw_of_a_picture(cases, session, tmp_path, geometry, short_side):
    run_whole(session, replace(cases[0], geometry=geometry))
    entry = record.load(tmp_path, cases[0].id)
    assert entry.case["geometry"] == geometry and entry.protocol["preprocessing"]["short_side"] == short_side


def test_a_cases_peak_begins_after_its_teachers_pass(cases, session, monkeypatch):
    starts = []

    class Watched(PeakMemory):
        def __init__(self, device):
            starts.append(bool(session._shared))

    monkeypatch.setattr(session_module, "PeakMemory", Watched)
    session.training(cases[0])
    assert starts == [True] and isinstance(session._memory, Watched)


@pytest.mark.parametrize("first", [True, False])
def test_too_few_evaluation_images_for_a_batch_are_an_error_before_anything_is_trained(cases, session, tmp_path, first):
    good = cases[0]
    case = replace(good, batch_size=good.test_samples + 1)
    if not first:
        session._shared_by(good)
    message = f"{good.test_samples} evaluation images, fewer than a batch of {case.batch_size}"
    with pytest.raises(ValueError, match=message):
        session.training(case)
    assert not [*tmp_path.rglob("epoch-*")]


def test_what_a_step_reads_is_brought_to_the_device_before_the_clock_starts(cases, session):
    run = session.training(cases[0])
    columns = run.shared.features.train._columns
    before = set(columns)
    run.epoch()
    assert before == set(columns) == {cases[0].reads, "joint"}


def test_a_figure_that_is_not_finite_fails_its_case_and_is_named(cases, session, tmp_path, monkeypatch):
    measured = case_module.measured
    monkeypatch.setattr(case_module, "measured", lambda *args: measured(*args) | {"similarity_kl": float("inf")})
    with pytest.raises(ValueError, match="similarity_kl is no number"):
        run_whole(session, cases[0])
    entry = record.load(tmp_path, cases[0].id)
    assert entry.status == "failed" and "similarity_kl is no number" in entry.message


def test_a_worker_has_its_own_of_several_gpus(cases, tmp_path, monkeypatch):
    """With counts that are made up: the session asks for the device that is this worker's."""
    names = []
    monkeypatch.setenv("PYTEST_XDIST_WORKER", "gw2")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    cpu = Device(torch.device("cpu"), "fp32", "fp32")
    monkeypatch.setattr(Device, "of", lambda name, precision: names.append(name) or cpu)
    Session(tmp_path, cases, set(), Progress(None))
    assert names == ["cuda:2"]


def test_weights_are_sought_once_for_all_cases_of_a_teacher(cases, session, monkeypatch):
    searches = []

    def none(name, *_):
        searches.append(name)
        raise WeightsError(f"teacher {name}: no weights")

    monkeypatch.setattr(session_module, "load_teacher", none)
    # The control has a teacher of its own, of which nothing is known yet.
    of_dino = [case for case in cases if case.teacher == "dino"]
    for case in (*of_dino, replace(cases[0], control="random-teacher")):
        with pytest.raises(CaseError, match=r"^teacher dino: no weights$"), session.recording(case) as entry:
            session.training(case)
        assert entry.status == "failed"
    assert len(of_dino) == 4 and searches == ["dino", "dino"]
