"""Time and memory of one device: latency of a call, peak memory."""

import re
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch

ENOUGH_SECONDS = 3.0


def synchronise(device: torch.device) -> None:
    """Wait for all work queued on ``device``."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def latency_ms(call: Callable[[], object], device: torch.device, repeats: int) -> float:
    """Median milliseconds of ``call()``, after two calls to warm up, device synchronised.

    Once :data:`ENOUGH_SECONDS` are spent no further call is made; a call that alone takes longer needs no warm-up.
    """
    times: list[float] = []
    while len(times) < repeats + 2 and sum(times) < ENOUGH_SECONDS:
        synchronise(device)
        start = time.perf_counter()
        call()
        synchronise(device)
        times.append(time.perf_counter() - start)
    return 1000 * statistics.median(times[2:] or times[-1:])


class PeakMemory:
    """Peak memory in MB (2^20 bytes) since construction: the device's allocations on CUDA, else the process's.

    On Linux the process's high-water mark is reset first; where that is not possible the value is None, because
    it would be that of an earlier case.
    """

    def __init__(self, device: torch.device):
        self.device = device
        self.status, self.reset = Path("/proc/self/status"), False
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
            return
        try:
            Path("/proc/self/clear_refs").write_text("5")
            self.reset = True
        except OSError:
            self.reset = False

    def megabytes(self) -> float | None:
        """The peak so far."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device) / 2**20
        found = re.search(r"VmHWM:\s+(\d+) kB", self.status.read_text()) if self.reset else None
        return int(found[1]) / 1024 if found else None
