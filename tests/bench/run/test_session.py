"""What the cases of a session share, when it is freed, what a case needs before it starts, and how one that fails is recorded."""

import os
import signal
import time
import weakref
from contextlib import suppress
from dataclasses import replace

import pytest
import torch

from bench import registry
from bench.features import columns
from bench.features.device import Device
from bench.kit.files import WriteError
from bench.kit.lock import AlarmError
from bench.kit.progress import Progress
from bench.measure.timing import PeakMemory
from bench.plan import matrix
from bench.results import record, running
from bench.run import case as case_module
from bench.run import session as session_module
from bench.run.job import CaseError, Job
from bench.run.session import Session
from teachers import WeightsError
from tests.bench.made import made
from tests.breadth import some

pytestmark = pytest.mark.usefixtures("little_measured")


@pytest.fixture
def cases(tiny_matrix):
    return matrix.cases(matrix.load(tiny_matrix), "tiny", tiny_matrix)


@pytest.fixture
def session(cases, tmp_path):
    return Session(Job(tmp_path, cases[:1], frozenset({cases[0].id}), device="cpu"), Progress(None))


def test_another_teachers_features_are_gone_before_a_case_takes_memory(cases, session, tmp_path):
    session._shared_by(cases[0])
    shared = []
    for case in (cases[0], next(case for case in cases if case.teacher != cases[0].teacher)):
        with session.recording(case):
            shared.append(len(session._shared))
    assert shared == [1, 0]


def every_epoch(epoch, count):
    for _ in range(count):
        epoch()


def test_a_record_keeps_the_load_under_which_its_costs_were_measured(cases, session, tmp_path, monkeypatch):
    """The longer case of a run has the costs of the shorter one, and so its load."""
    loads = iter([(5.234, 0.5, 0.5), (0.1, 0.5, 0.5)])
    monkeypatch.setattr(os, "getloadavg", lambda: next(loads))
    shorter, longer = (case for case in cases if case.run == cases[0].run)
    for case in (shorter, longer):
        session.run(case, every_epoch)
    entries = [record.load(tmp_path, case.id) for case in (shorter, longer)]
    assert [entry.environment["hardware"]["load_average"] for entry in entries] == [5.23, 5.23]
    assert entries[0].metrics["latency_ms_batch_1"] == entries[1].metrics["latency_ms_batch_1"]


def test_a_student_that_asks_no_teacher_is_trained_once_for_all_teachers(tiny_matrix, tmp_path):
    """And one that is trained beside the other teacher has the same weights to the bit."""
    loaded = matrix.load(tiny_matrix)
    changes = {"pairs": {"shapes": ("dino", "beit")}, "students": ("resnet",), "epochs": (1,)}
    loaded.profiles["tiny"] = loaded.profiles["tiny"].model_copy(update=changes)
    planned = matrix.cases(loaded, "tiny", tiny_matrix, controls=("no-distillation",))
    dino, beit = (case for case in planned if case.control)
    entries = {}
    for folder, cases in ((tmp_path / "both", (dino, beit)), (tmp_path / "one", (beit,))):
        job = Job(folder, cases, frozenset(case.id for case in cases), device="cpu")
        for case in cases:
            Session(job, Progress(None)).run(case, every_epoch)
            entries[folder.name, case.teacher] = record.load(folder, case.id)
    first, second, own = entries["both", "dino"], entries["both", "beit"], entries["one", "beit"]
    assert first.curve == second.curve  # its seconds, too: trained once
    assert first.metrics["cka"] != second.metrics["cka"]  # beside their own teachers
    times = ("epoch_seconds", "teacher_pass_seconds", "peak_memory_mb")
    assert {name: value for name, value in own.metrics.items() if name not in times} == {
        name: value for name, value in second.metrics.items() if name not in times
    }


def test_what_a_case_was_trained_and_measured_with_goes_with_its_teacher(cases, session, monkeypatch):
    references, training = [], session.training

    def watched(case):
        run = training(case)
        references.extend(map(weakref.ref, (run.student, run.shared.features.train, run.shared.features.test)))
        return run

    monkeypatch.setattr(session, "training", watched)
    session.run(cases[0], every_epoch)
    session._release()
    assert [reference() for reference in references] == [None] * 3


@pytest.mark.parametrize(("error", "status"), [
    (KeyboardInterrupt(), "done"), (WriteError("epoch-0001.safetensors: no space left on device"), "done"),
    (ValueError("too few images"), "failed"),
])  # fmt: skip
def test_a_finished_record_stays_until_there_is_another_result(cases, session, tmp_path, error, status):
    """Interrupted, or on a full disk, a case that is made anew has none."""
    record.write(made(cases[0], seconds=77), tmp_path)
    with suppress(KeyboardInterrupt, ValueError, CaseError), session.recording(cases[0]):
        assert record.load(tmp_path, cases[0].id).seconds == 77
        raise error
    entry = record.load(tmp_path, cases[0].id)
    assert entry.status == status and (entry.seconds == 77) is (status == "done")


@pytest.mark.parametrize(("fingerprint", "said"), [(None, 0), ("older", 1)])
def test_nothing_finished_of_another_configuration_is_replaced_without_a_word(
    cases, session, tmp_path, monkeypatch, fingerprint, said
):
    log = []
    monkeypatch.setattr(session.progress, "say", log.append)
    record.write(made(cases[0], **({"fingerprint": fingerprint} if fingerprint else {})), tmp_path)
    with suppress(KeyboardInterrupt), session.recording(cases[0]):
        raise KeyboardInterrupt
    assert len(log) == said and all(line.startswith(f"{cases[0].id}: a finished record of another") for line in log)


@pytest.mark.parametrize("free", [0, 2**40])
def test_a_record_says_whether_its_features_fitted(cases, session, tmp_path, monkeypatch, free):
    """With no memory free all is streamed; with a terabyte the few images of the tiny matrix lie there whole."""
    monkeypatch.setattr(columns, "free_bytes", lambda device: free)
    session.run(cases[0], every_epoch)
    entry = record.load(tmp_path, cases[0].id)
    assert (entry.status, entry.case["epochs"]) == ("done", 1)
    assert entry.protocol["features"] == ("on the device" if free else "streamed from disk")


@pytest.mark.parametrize(
    ("warmup_steps", "said"), some([(4, []), (5, ["its 4 steps are all warm-up"]), (0, [])], lambda each: each[0])
)
def test_a_run_that_ends_within_its_warm_up_says_so(cases, session, monkeypatch, warmup_steps, said):
    """A hand count: 128 images in batches of 32 are 4 steps."""
    log = []
    monkeypatch.setattr(session.progress, "say", log.append)
    session.run(replace(cases[0], warmup_steps=warmup_steps), every_epoch)
    assert [line.split(": ")[1].split(",")[0] for line in log if "warm-up" in line] == said


@pytest.mark.parametrize(("geometry", "short_side"), some([("published", 32), ("squash", None)], [("squash", None)]))
def test_a_record_says_what_its_teacher_saw_of_a_picture(cases, session, tmp_path, geometry, short_side):
    session.run(replace(cases[0], geometry=geometry), every_epoch)
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


@pytest.mark.parametrize("kind", ["training", "evaluation"])
def test_fewer_images_than_a_batch_are_an_error_before_the_teacher_looks(cases, session, tmp_path, kind):
    count = {"training": cases[0].train_samples, "evaluation": cases[0].test_samples}[kind]
    case = replace(cases[0], batch_size=count + 1)
    with pytest.raises(ValueError, match=f"{count} {kind} images, fewer than a batch of {case.batch_size}"):
        session.training(case)
    assert not session._shared and not [*tmp_path.rglob("epoch-*")]


def test_what_a_step_reads_is_brought_to_the_device_before_the_clock_starts(cases, session):
    run = session.training(cases[0])
    columns = run.shared.features.train._columns
    before = set(columns)
    run.epoch()
    assert before == set(columns) == {cases[0].reads, "joint"}


def test_a_figure_that_is_not_finite_fails_its_case_and_is_named(cases, session, tmp_path, monkeypatch):
    measured = case_module.measured
    monkeypatch.setattr(case_module, "measured", lambda *args: measured(*args) | {"similarity_kl": float("inf")})
    with pytest.raises(ValueError, match="similarity_kl is not a possible value"):
        session.run(cases[0], every_epoch)
    entry = record.load(tmp_path, cases[0].id)
    assert entry.status == "failed" and "similarity_kl is not a possible value" in entry.message


def test_a_worker_has_its_own_of_several_gpus(cases, tmp_path, monkeypatch):
    """With counts that are made up: the session asks for the device that is this worker's."""
    names = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    cpu = Device("cpu", "fp32")
    monkeypatch.setattr(session_module, "Device", lambda name, precision: names.append(name) or cpu)
    Session(Job(tmp_path, cases, frozenset(), worker=2), Progress(None))
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
        with (
            pytest.raises(CaseError, match=r"^teacher dino: no weights$"),
            session.recording(case) as entry,
        ):
            session.training(case)
        assert entry.status == "failed"
    assert len(of_dino) == 4 and searches == ["dino", "dino"]


@pytest.fixture
def case(cases):
    return cases[0]


@pytest.fixture
def entry(case, tmp_path):
    return lambda: record.load(tmp_path, case.id)


@pytest.mark.parametrize("library", [False, True])
def test_a_case_beyond_its_limit_is_a_timeout_and_an_error_within_it_is_not(case, session, entry, library):
    """Also where a library's C code replaces the exception that the alarm raises."""

    def too_long(*_):
        try:
            time.sleep(5)
        except AlarmError:
            raise (ValueError("not the shape of an object") if library else AlarmError) from None

    session.job = replace(session.job, case_timeout=0.5)
    with pytest.raises(CaseError, match=r"took longer than 0.5 s \(--case-timeout\)"):
        session.run(case, too_long)
    assert entry().status == "timeout"
    session.job = replace(session.job, case_timeout=60)
    with pytest.raises(ZeroDivisionError):
        session.run(case, lambda *_: 1 / 0)
    assert entry().status == "failed" and signal.getitimer(signal.ITIMER_REAL) == (0, 0)


def test_a_limit_shorter_than_the_start_of_a_case_leaves_its_record_too(case, session, entry, monkeypatch):
    """On a slow shared folder, say, where another session's notes are looked for first."""
    monkeypatch.setattr(running, "last", lambda *_: time.sleep(0.1))
    session.job = replace(session.job, case_timeout=0.01)
    with pytest.raises(CaseError, match=r"took longer than 0\.01 s"):
        session.run(case, lambda *_: None)
    assert entry().status == "timeout"


def test_a_teacher_of_ones_own_that_breaks_the_interface_ends_its_cases_before_the_pass(
    case, session, entry, monkeypatch
):
    monkeypatch.setattr(registry, "PAPERS", [])
    dino = session._teachers(case)[0]
    dino.image = lambda pixels: replace(type(dino).image(dino, pixels), joint=torch.ones(len(pixels), 4))
    monkeypatch.setattr("bench.run.session.load_teacher", lambda *_: dino)
    with pytest.raises(CaseError, match=r"teachers/dino\.py: joint of images has the length 2, expected 1"):
        session.run(case, lambda *_: None)
    assert entry().status == "failed"


def test_each_case_without_weights_ends_with_the_command_that_fetches_them_and_no_traceback(
    run_bench, tiny_matrix, tmp_path
):
    content = tiny_matrix.read_text().replace("weights: pocket", "weights: pretrained")
    (tmp_path / "matrix.yaml").write_text(content.replace(", scenes: [blip]", ""))
    ran = run_bench(tmp_path / "results", "-rN", "-k", "cbam", matrix=tmp_path / "matrix.yaml")
    assert ran.status == 1 and "2 failed" in ran.output
    command = "hf download timm/vit_base_patch16_224.dino model.safetensors"
    assert ran.output.count(command) == 2 and "Error" not in ran.output and "session.py" not in ran.output
    records, _ = record.read_all(tmp_path / "results")
    assert [(entry.status, command in entry.message) for entry in records.values()] == [("failed", True)] * 2
