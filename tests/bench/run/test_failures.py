"""How what went wrong is classified, and what the user reads of it."""

import pytest
import torch

from bench.kit.errors import UserError
from bench.kit.files import WriteError
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
