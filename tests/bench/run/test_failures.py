"""How what went wrong is classified, what the user reads of it, and that it takes no other case with it."""

import json

import pytest
import torch

from bench.kit.errors import UserError
from bench.kit.files import WriteError
from bench.results import record
from bench.run.failures import describe


@pytest.mark.parametrize("error", [
    WriteError("epoch-0001.safetensors cannot be written"), UserError("dataset pets: image 3 has no caption"),
    OSError(28, "No space left on device", "a.json"),
])  # fmt: skip
def test_what_its_message_explains_needs_no_traceback(error):
    assert describe(error) == ("failed", f"{type(error).__name__}: {error}", str(error))
    assert describe(ValueError("ours to correct"))[2] is None


def status_of(error):
    status, _, _ = describe(error)
    return status


@pytest.mark.parametrize(
    ("message", "status"),
    [
        ("CUDA error: out of memory\nCUDA kernel errors might be reported asynchronously", "oom"),
        ("CUDA driver error: out of memory", "oom"),
        ("CUDA ran out of memory outside PyTorch's allocator", "oom"),
        ("cuDNN error: CUDNN_STATUS_ALLOC_FAILED", "oom"),
        ("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED", "oom"),
        ("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`", "oom"),
        ("cusolver error: CUSOLVER_STATUS_ALLOC_FAILED", "oom"),
        ("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory", "oom"),
        ("CUDA error: device-side assert triggered", "failed"),
        ("shapes do not fit", "failed"),
    ],
)
def test_errors_of_the_libraries_are_classified_by_their_words(message, status):
    """cuDNN's strings are those of ``cudnnGetErrorString`` in cuDNN 9.26, and of 8 before it."""
    assert status_of(RuntimeError(message)) == status and status_of(ValueError(message)) == "failed"


def test_errors_are_classified_by_their_type():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(10**15)
    assert status_of(caught.value) == status_of(torch.OutOfMemoryError("CUDA out of memory")) == "oom"
    assert status_of(TimeoutError("the hub did not answer")) == "failed"


@pytest.mark.parametrize(
    "message",
    [
        "FIND was unable to find an engine to execute this computation",
        "CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`",
    ],
)
def test_an_ambiguous_error_is_out_of_memory_where_little_is_free(message, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert status_of(RuntimeError(message)) == "failed"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for free, status in ((80, "failed"), (11, "failed"), (10, "oom"), (0, "oom")):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda free=free: (free, 100))
        assert status_of(RuntimeError(message)) == status


# The first case fails in its second step. What is looked for afterwards: the failed step's own tensors while pytest keeps
# the traceback, and what the case was trained with once the next one trains.
PLUGIN = """
import gc
import json
import os
import weakref
from pathlib import Path

import torch

from bench.run import session
from bench.training import run as train

step, shared_by = train.Run._step, session.Session._shared_by
sizes, of_the_step, of_the_case, left = [], [], [], {}


def alive(references):
    gc.collect()
    return [type(reference()).__name__ for reference in references if reference() is not None]


def watched(self, case):
    shared = shared_by(self, case)
    if case.student == "projection":
        of_the_case.extend(map(weakref.ref, (shared.teacher, shared.features.train, shared.features.test)))
    return shared


def short_of_memory(self, student, criterion, optimiser, batch):
    if self.case.student == "cbam":
        left.setdefault("when the next case trains", alive(of_the_step + of_the_case))
        return step(self, student, criterion, optimiser, batch)
    sizes.append(len(batch.inputs))
    if len(sizes) == 3:  # a warm-up with copies, the first step, and this one
        large = torch.zeros(1000)
        of_the_step.extend(map(weakref.ref, (large, batch.inputs)))
        of_the_case.append(weakref.ref(self.student))
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
    return step(self, student, criterion, optimiser, batch)


def pytest_runtest_teardown():
    left.setdefault("while pytest keeps the traceback", alive(of_the_step))


def pytest_sessionfinish():
    Path(os.environ["SEEN"]).write_text(json.dumps({"sizes": sizes} | left))


train.Run._step, session.Session._shared_by = short_of_memory, watched
"""


def test_a_case_that_runs_out_of_memory_is_recorded_lets_it_go_and_the_next_is_done(run_bench, tmp_path):
    """At the batch size of the matrix: no smaller one is tried."""
    (tmp_path / "short_of_memory.py").write_text(PLUGIN)
    env = {"PYTHONPATH": str(tmp_path), "SEEN": str(tmp_path / "seen.json")}
    ran = run_bench(tmp_path / "results", "-p", "short_of_memory", "-k", "shapes and 1ep", env=env)
    assert ran.status == 1 and "1 failed, 1 passed" in ran.output, ran.output
    first, second = (record.load(tmp_path / "results", f"shapes-dino-{name}-1ep") for name in ("projection", "cbam"))
    assert (first.status, second.status) == ("oom", "done")
    assert first.message == "OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 GiB"
    assert json.loads((tmp_path / "seen.json").read_text()) == {
        "sizes": [4, 32, 32], "while pytest keeps the traceback": [], "when the next case trains": [],
    }  # fmt: skip
    assert "| shapes-dino-projection-1ep | out of memory |" in (tmp_path / "results" / "report.md").read_text()
