"""``--device`` and ``--precision``, and what a session does when memory runs out."""

import gc
import weakref

import pytest
import torch

from bench import matrix, record
from bench.device import Device, DeviceError, for_worker
from bench.progress import Progress
from bench.session import CaseError, Session


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
    [("gpu", "auto", "--device gpu"), ("meta", "auto", "expected auto, cpu"), ("cpu", "tf32", "tf32 is for CUDA")],
)
def test_a_device_that_cannot_be_is_refused(name, precision, says):
    with pytest.raises(DeviceError, match=says):
        Device.of(name, precision)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_cuda_where_there_is_none_is_a_usage_error(run_bench, tmp_path):
    ran = run_bench(tmp_path, "--device", "cuda")
    assert ran.returncode == pytest.ExitCode.USAGE_ERROR and "0 CUDA devices are visible" in ran.stderr
    assert not (tmp_path / "records").exists()


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
    monkeypatch.setattr(Device, "of", lambda name, precision: asked.append(name))
    Session(tmp_path, cases, set(), Progress(None))
    assert asked == ["cuda:2"]
