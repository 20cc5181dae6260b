"""How a case can fail: the status of its record, what the user reads, and how to go on. Needs no torch to be imported."""

import math
import shlex
from argparse import ArgumentTypeError
from collections.abc import Sequence

import pytest

from bench.kit import alarm
from bench.kit.errors import shown

LONGEST_SECONDS = 10**8  # three years; a system's alarm has a bound of its own

# What plain RuntimeErrors say: the CPU's allocator, the CUDA driver, cuDNN, cuBLAS and cuSOLVER.
OUT_OF_MEMORY = (
    "can't allocate memory",
    "CUDA error: out of memory",
    "CUDA driver error: out of memory",
    "CUDA ran out of memory",
    "ALLOC_FAILED",
    "ALLOCATION_FAILED",
)
# And what they say where there is no room for their workspace, but after other faults as well.
PERHAPS_OUT_OF_MEMORY = ("CUBLAS_STATUS_NOT_INITIALIZED", "unable to find an engine to execute this computation")
SHORT_OF_MEMORY = 0.1  # largest share of the device's memory that is free when those mean that it is full


class CaseError(RuntimeError):
    """A case failed; the message is all that is kept of the error, so that the memory in its traceback is freed."""


def status_of(error: BaseException, limit: float | None = None) -> str:
    """The record's status for an error: ``oom``, ``timeout``, ``skipped`` or ``failed``.

    ``limit`` is that of ``--case-timeout``. Once its alarm has rung, any error is a timeout: C code may replace the
    exception that the alarm raised.
    """
    if limit is not None and not alarm.is_set():
        return "timeout"
    if _is_out_of_memory(error):
        return "oom"
    return "skipped" if isinstance(error, pytest.skip.Exception) else "failed"


def message_of(error: BaseException, status: str, limit: float | None = None) -> str:
    """What the record keeps of an error."""
    if status == "timeout":
        return f"took longer than {limit:g} s (--case-timeout)"
    return f"{type(error).__name__}: {error}".strip()


def summary_of(error: BaseException, status: str, message: str) -> str | None:
    """What the user reads in place of a traceback; None where the traceback is needed."""
    from bench.kit.array_store import StoreError
    from teachers import WeightsError

    if status == "oom":
        return f"out of memory: {message}"
    if status == "timeout":
        return f"{message}; what it had trained is kept for a longer limit"
    return str(error) if isinstance(error, WeightsError | StoreError) else None


def _is_out_of_memory(error: BaseException) -> bool:
    import torch

    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    phrases = OUT_OF_MEMORY + (PERHAPS_OUT_OF_MEMORY if _is_cuda_nearly_full() else ())
    return isinstance(error, RuntimeError) and any(phrase in str(error) for phrase in phrases)


def _is_cuda_nearly_full() -> bool:
    import torch

    if not torch.cuda.is_available():
        return False
    free, total = torch.cuda.mem_get_info()
    return free <= SHORT_OF_MEMORY * total


def limit_seconds(text: str) -> float:
    """The value of ``--case-timeout``. Raises ``ArgumentTypeError`` where it is no usable number of seconds."""
    try:
        limit = float(text)
    except ValueError:
        limit = math.nan
    if not 0 < limit <= LONGEST_SECONDS:
        raise ArgumentTypeError(f"expected a number of seconds above 0 and up to {LONGEST_SECONDS}, not {shown(text)}")
    return limit


def how_to_go_on(done: int, total: int, arguments: Sequence[str]) -> str:
    """What an interrupted session prints: how far it came, and the command that goes on from there."""
    words = list(arguments)
    while "--rerun" in words[:-1]:
        place = words.index("--rerun")
        del words[place : place + 2]
    # Given again, it would start anew.
    words = [word for word in words if not word.startswith("--rerun=")]
    return (
        f"interrupted: {done} of {total} cases are done, and what the others had trained is kept. "
        f"Go on with: {shlex.join(['pytest', *words])}"
    )
