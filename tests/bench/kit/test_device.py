"""``--device`` and ``--precision``, and what a session does when memory runs out."""

import gc
import runpy
import weakref
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from bench.features.precision import Device
from bench.kit.device import DeviceError, find, for_worker
from bench.kit.paths import ROOT
from bench.kit.progress import Progress
from bench.kit.stopping import CaseError
from bench.measure import accuracy
from bench.measure.timing import PeakMemory
from bench.plan import matrix
from bench.results import record
from bench.run.session import Session


def test_auto_is_single_precision_on_a_cpu():
    device = Device.of("cpu", "auto")
    assert (device.torch.type, device.teacher_precision, device.precision, device.mixed) == (
        "cpu",
        "fp32",
        "fp32",
        False,
    )


def test_bf16_trains_mixed_and_is_told():
    device = Device.of("cpu", "bf16")
    assert device.mixed and device.described()["precision"] == {"teacher": "bf16", "training": "bf16"}


@pytest.mark.parametrize(
    ("name", "precision", "says"),
    [
        ("gpu", "auto", "--device gpu"),
        ("meta", "auto", "expected auto, cpu"),
        ("cpu", "tf32", "tf32 is for CUDA"),
    ],
)
def test_a_device_that_cannot_be_is_refused(name, precision, says):
    with pytest.raises(DeviceError, match=says):
        Device.of(name, precision)


def test_looking_for_a_device_sets_none(monkeypatch):
    """pytest looks before it starts workers, whose controller would else hold memory of the first GPU."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: pytest.fail("a device was set"))
    assert find("cuda:1", "auto") == (torch.device("cuda", 1), "bf16", "tf32")
    options = {"device": "cuda", "precision": "bf16"}
    conftest = runpy.run_path(str(ROOT / "conftest.py"))
    conftest["check_device"](SimpleNamespace(**options))
    with pytest.raises(DeviceError, match="2 CUDA devices are visible"):
        conftest["check_device"](SimpleNamespace(**options | {"device": "cuda:2"}))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_cuda_where_there_is_none_is_a_usage_error(run_bench, tmp_path):
    ran = run_bench(tmp_path, "--device", "cuda")
    assert ran.returncode == pytest.ExitCode.USAGE_ERROR and "0 CUDA devices are visible" in ran.stderr
    assert not (tmp_path / "records").exists()


@pytest.mark.parametrize(
    ("message", "status"),
    [
        ("CUDA error: out of memory\nCUDA kernel errors might be reported asynchronously", "oom"),
        ("cuDNN error: CUDNN_STATUS_ALLOC_FAILED", "oom"),
        ("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`", "oom"),
        ("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory", "oom"),
        ("CUDA error: device-side assert triggered", "failed"),
    ],
)
def test_plain_errors_of_the_libraries_are_told_apart(tiny_matrix, tmp_path, message, status):
    cases = matrix.cases(matrix.load(tiny_matrix), "tiny", tiny_matrix)
    session = Session(tmp_path, cases, set(), Progress(None), "cpu")
    with pytest.raises(RuntimeError), session.recording(cases[0]):
        raise RuntimeError(message)
    assert record.read(record.path_of(tmp_path, cases[0].id)).status == status


def test_out_of_memory_is_recorded_and_the_memory_is_released(tiny_matrix, tmp_path):
    """pytest keeps a failed case's traceback; the tensors that its frames hold must go all the same."""
    cases = matrix.cases(matrix.load(tiny_matrix), "tiny", tiny_matrix)
    session = Session(tmp_path, cases, set(), Progress(None), "cpu")
    kept = []

    def work():
        large = torch.zeros(1000)
        kept.append(weakref.ref(large))
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")

    with pytest.raises(CaseError, match="out of memory") as caught, session.recording(cases[0]):
        work()
    gc.collect()
    assert kept[0]() is None and caught.value.__traceback__ is not None
    found = record.read(record.path_of(tmp_path, cases[0].id))
    assert found.status == "oom" and "20.00 GiB" in found.message
    assert record.reusable(cases[0], tmp_path) is None


def test_another_teachers_features_are_gone_before_a_case_takes_memory(tiny_matrix, tmp_path):
    cases = matrix.cases(matrix.load(tiny_matrix), "tiny", tiny_matrix)
    session = Session(tmp_path, cases, set(), Progress(None), "cpu")
    session.shared(cases[0])
    own, other = cases[0], next(case for case in cases if case.teacher != cases[0].teacher)
    seen = []
    for case in (own, other):
        with session.recording(case):
            seen.append(len(session._shared))
    assert seen == [1, 0]


def test_what_a_case_was_trained_and_measured_with_goes_with_its_teacher(tiny_matrix, tmp_path):
    case = matrix.cases(matrix.load(tiny_matrix), "tiny", tiny_matrix)[0]
    session = Session(tmp_path, (case,), {case.id}, Progress(None), "cpu")
    with session.recording(case) as entry:
        run = session.training(case)
        while not run.finished:
            run.epoch()
        session.measure(case, run, entry)
    held = [weakref.ref(one) for one in (run.student, run.features, session.distilled(case).test)]
    del run
    session._release()
    assert [one() for one in held] == [None] * 3


def test_a_cases_peak_begins_after_its_teachers_pass(tiny_matrix, tmp_path, monkeypatch):
    case = matrix.cases(matrix.load(tiny_matrix), "tiny", tiny_matrix)[0]
    session = Session(tmp_path, (case,), {case.id}, Progress(None), "cpu")
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
def test_too_few_evaluation_images_for_a_batch_are_told_before_anything_is_trained(tiny_matrix, tmp_path, first):
    good = matrix.cases(matrix.load(tiny_matrix), "tiny", tiny_matrix)[0]
    case = replace(good, batch_size=good.test_samples + 1)
    session = Session(tmp_path, (case,), {case.id}, Progress(None), "cpu")
    if not first:
        session.shared(good)
    with pytest.raises(
        ValueError, match=f"{good.test_samples} evaluation images, fewer than a batch of {case.batch_size}"
    ):
        session.training(case)
    assert not [*tmp_path.rglob("epoch-*")]


def test_what_a_step_reads_is_brought_to_the_device_before_the_clock_starts(tiny_matrix, tmp_path):
    case = matrix.cases(matrix.load(tiny_matrix), "tiny", tiny_matrix)[0]
    session = Session(tmp_path, (case,), {case.id}, Progress(None), "cpu")
    run = session.training(case)
    arrays = session.distilled(case).train._columns
    brought = set(arrays)
    run.epoch()
    assert brought == set(arrays) == {case.reads, "joint"}


def test_a_figure_that_is_not_finite_fails_its_case_and_is_named(tiny_matrix, tmp_path, monkeypatch):
    case = matrix.cases(matrix.load(tiny_matrix), "tiny", tiny_matrix)[0]
    session = Session(tmp_path, (case,), {case.id}, Progress(None), "cpu")
    fidelity = accuracy.fidelity
    monkeypatch.setattr(accuracy, "fidelity", lambda *them: fidelity(*them) | {"similarity_kl": float("inf")})
    with pytest.raises(ValueError, match="similarity_kl: inf is no number"), session.recording(case) as entry:
        run = session.training(case)
        run.epoch()
        session.measure(case, run, entry)
    found = record.read(record.path_of(tmp_path, case.id))
    assert found.status == "failed" and "similarity_kl: inf" in found.message


@pytest.mark.parametrize(
    ("name", "worker", "count", "expected"),
    [
        ("auto", "gw0", 4, "cuda:0"), ("auto", "gw3", 4, "cuda:3"), ("auto", "gw5", 4, "cuda:1"),
        ("cuda", "gw1", 2, "cuda:1"), ("auto", "gw7", 1, "cuda:0"), ("auto", "gw12", 8, "cuda:4"),
        ("auto", None, 4, "auto"), ("auto", "gw1", 0, "auto"), ("cuda", "gw1", 0, "cuda"),
        ("cpu", "gw1", 4, "cpu"), ("cuda:2", "gw1", 4, "cuda:2"),
    ],
)  # fmt: skip
def test_workers_take_the_visible_gpus_in_turn_unless_a_device_is_named(name, worker, count, expected):
    assert for_worker(name, worker, count) == expected


def test_a_worker_has_its_own_of_several_gpus(tiny_matrix, tmp_path, monkeypatch):
    """With counts that are made up: the session asks for the device that is this worker's."""
    cases, asked = matrix.cases(matrix.load(tiny_matrix), "tiny", tiny_matrix), []
    monkeypatch.setenv("PYTEST_XDIST_WORKER", "gw2")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(
        Device, "of", lambda name, precision: asked.append(name) or Device(torch.device("cpu"), "fp32", "fp32")
    )
    Session(tmp_path, cases, set(), Progress(None))
    assert asked == ["cuda:2"]
