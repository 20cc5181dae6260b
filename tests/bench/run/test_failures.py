"""How a case that fails is recorded, what the user reads, and that the next case runs."""

import gc
import signal
import time
import weakref
from argparse import ArgumentTypeError

import pytest
import torch

from bench.kit.progress import Progress
from bench.plan import matrix
from bench.results import record
from bench.run.failures import CaseError, how_to_go_on, limit_seconds, status_of
from bench.run.session import Session


@pytest.fixture
def case(tiny_matrix):
    return matrix.cases(matrix.load(tiny_matrix), "tiny", tiny_matrix)[0]


@pytest.fixture
def session(case, tmp_path):
    return Session(tmp_path, (case,), set(), Progress(None), "cpu")


@pytest.fixture
def entry(case, tmp_path):
    return lambda: record.read(record.path_of(tmp_path, case.id))


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
    assert status_of(pytest.skip.Exception("no weights")) == "skipped"
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


def test_out_of_memory_is_recorded_and_the_memory_is_released(case, session, entry, tmp_path):
    """pytest keeps a failed case's traceback; the tensors that its frames hold must go all the same."""
    references = []

    def work():
        large = torch.zeros(1000)
        references.append(weakref.ref(large))
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")

    with pytest.raises(CaseError, match="out of memory") as caught, session.recording(case):
        work()
    gc.collect()
    assert references[0]() is None and caught.value.__traceback__ is not None
    assert entry().status == "oom" and "20.00 GiB" in entry().message
    assert record.reusable(case, tmp_path) is None


@pytest.mark.parametrize("library", [False, True])
def test_a_case_beyond_its_limit_is_a_timeout_and_an_error_within_it_is_not(case, session, entry, library):
    """Also where a library's C code replaces the exception that the alarm raises."""

    def ring(*_):
        raise ValueError("not the shape of an object") if library else pytest.fail.Exception("Timeout")

    session.case_timeout = 0.05
    before = signal.signal(signal.SIGALRM, ring)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(CaseError, match=r"took longer than 0.05 s \(--case-timeout\)"), session.recording(case):
            time.sleep(5)
        assert entry().status == "timeout"
        signal.setitimer(signal.ITIMER_REAL, 60)
        with pytest.raises(ZeroDivisionError), session.recording(case):
            raise ZeroDivisionError
        assert entry().status == "failed" and signal.getitimer(signal.ITIMER_REAL) == (0, 0)
    finally:
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "soon", "", "1e30", "100000001"])
def test_what_is_no_limit_is_a_usage_error(text):
    assert limit_seconds("1e-300") == 1e-300 and limit_seconds("1e8") == 1e8
    with pytest.raises(ArgumentTypeError, match="expected a number of seconds above 0"):
        limit_seconds(text)


@pytest.mark.parametrize(
    ("words", "again"),
    [
        (["bench", "--profile", "ci", "-k", "a and b"], "pytest bench --profile ci -k 'a and b'"),
        (["bench", "--rerun", "all", "-n", "2"], "pytest bench -n 2"),
        (["--rerun=all", "bench"], "pytest bench"),
    ],
)
def test_the_command_that_goes_on_does_not_start_anew(words, again):
    assert how_to_go_on(3, 8, words) == (
        f"interrupted: 3 of 8 cases are done, and what the others had trained is kept. Go on with: {again}"
    )
