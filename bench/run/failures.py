"""What went wrong in a case: the status of its record, its message, and what the user reads."""

import torch

from bench.kit.errors import UserError
from bench.kit.lock import alarm_is_set
from teachers import WeightsError

# What plain RuntimeErrors say: the CPU's allocator, the CUDA driver, cuDNN, cuBLAS and cuSOLVER.
OUT_OF_MEMORY = (
    "can't allocate memory",
    "CUDA error: out of memory",
    "CUDA driver error: out of memory",
    "CUDA ran out of memory",
    "ALLOC_FAILED",
    "ALLOCATION_FAILED",
)
# Also raised where there is no room for a workspace, but after other faults, too.
PERHAPS_OUT_OF_MEMORY = ("CUBLAS_STATUS_NOT_INITIALIZED", "unable to find an engine to execute this computation")
SHORT_OF_MEMORY = 0.1  # largest share of the device's memory that is free when those mean that it is full


def describe(error: BaseException, limit: float | None = None) -> tuple[str, str, str | None]:
    """The record's status ("oom", "timeout" or "failed") and message for an error, and what the user reads in place of a
    traceback, None where that is needed.

    ``limit`` is that of ``--case-timeout``. Once its alarm has rung, any error is a timeout: C code may replace the
    exception that the alarm raised.
    """
    message = f"{type(error).__name__}: {error}".strip()
    if limit is not None and not alarm_is_set():
        message = f"took longer than {limit:g} s (--case-timeout)"
        return "timeout", message, f"{message}; what it had trained is kept for a longer limit"
    if _is_out_of_memory(error):
        return "oom", message, f"out of memory: {message}"
    return "failed", message, str(error) if isinstance(error, WeightsError | UserError | OSError) else None


def _is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    phrases = OUT_OF_MEMORY
    if torch.cuda.is_available():
        free, total = torch.cuda.mem_get_info()
        phrases += PERHAPS_OUT_OF_MEMORY if free <= SHORT_OF_MEMORY * total else ()
    return isinstance(error, RuntimeError) and any(phrase in str(error) for phrase in phrases)
