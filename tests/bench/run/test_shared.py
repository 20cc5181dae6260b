"""What the cases of a session share, when it is freed, and what a case needs before it starts."""

import weakref
from dataclasses import replace

import pytest
import torch

from bench.features.precision import Device
from bench.kit.progress import Progress
from bench.measure.timing import PeakMemory
from bench.plan import matrix
from bench.results import record
from bench.run import case as case_module
from bench.run.session import Session


@pytest.fixture
def cases(tiny_matrix):
    return matrix.cases(matrix.load(tiny_matrix), "tiny", tiny_matrix)


@pytest.fixture
def session(cases, tmp_path):
    return Session(tmp_path, cases[:1], {cases[0].id}, Progress(None), "cpu")


def test_another_teachers_features_are_gone_before_a_case_takes_memory(cases, session, tmp_path):
    session._shared_by(cases[0])
    own, other = cases[0], next(case for case in cases if case.teacher != cases[0].teacher)
    seen = []
    for case in (own, other):
        with session.recording(case):
            seen.append(len(session._shared))
    assert seen == [1, 0]


def test_what_a_case_was_trained_and_measured_with_goes_with_its_teacher(cases, session, tmp_path):
    case = cases[0]
    with session.recording(case) as entry:
        run = session.training(case)
        while not run.training.finished:
            run.epoch()
        session.measure(case, run, entry)
    features = session._shared_by(case).features
    held = [weakref.ref(one) for one in (run.student, features.train, features.test)]
    del run, features
    session._release()
    assert [one() for one in held] == [None] * 3


def test_a_cases_peak_begins_after_its_teachers_pass(cases, session, tmp_path, monkeypatch):
    case = cases[0]
    begun = []

    class Watched(PeakMemory):
        def __init__(self, device):
            begun.append(bool(session._shared))
            self.number = len(begun)

        def megabytes(self):
            return self.number

    monkeypatch.setattr("bench.run.session.PeakMemory", Watched)
    with pytest.raises(ValueError, match="incomplete"), session.recording(case) as entry:
        session.training(case)
        record.check_done(entry)
    assert begun == [True] and session._memory.megabytes() == 1


@pytest.mark.parametrize("first", [True, False])
def test_too_few_evaluation_images_for_a_batch_are_an_error_before_anything_is_trained(cases, session, tmp_path, first):
    good = cases[0]
    case = replace(good, batch_size=good.test_samples + 1)
    if not first:
        session._shared_by(good)
    with pytest.raises(
        ValueError, match=f"{good.test_samples} evaluation images, fewer than a batch of {case.batch_size}"
    ):
        session.training(case)
    assert not [*tmp_path.rglob("epoch-*")]


def test_what_a_step_reads_is_brought_to_the_device_before_the_clock_starts(cases, session, tmp_path):
    case = cases[0]
    run = session.training(case)
    arrays = session._shared_by(case).features.train._columns
    brought = set(arrays)
    run.epoch()
    assert brought == set(arrays) == {case.reads, "joint"}


def test_a_figure_that_is_not_finite_fails_its_case_and_is_named(cases, session, tmp_path, monkeypatch):
    case = cases[0]
    measured = case_module.measured
    monkeypatch.setattr(case_module, "measured", lambda *them: measured(*them) | {"similarity_kl": float("inf")})
    with pytest.raises(ValueError, match="similarity_kl: inf is no number"), session.recording(case) as entry:
        run = session.training(case)
        run.epoch()
        session.measure(case, run, entry)
    entry = record.read(record.path_of(tmp_path, case.id))
    assert entry.status == "failed" and "similarity_kl: inf" in entry.message


def test_a_worker_has_its_own_of_several_gpus(cases, session, tmp_path, monkeypatch):
    """With counts that are made up: the session asks for the device that is this worker's."""
    asked = []
    monkeypatch.setenv("PYTEST_XDIST_WORKER", "gw2")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(
        Device, "of", lambda name, precision: asked.append(name) or Device(torch.device("cpu"), "fp32", "fp32")
    )
    Session(tmp_path, cases, set(), Progress(None))
    assert asked == ["cuda:2"]
