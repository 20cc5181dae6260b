"""Time and memory of one device: latency and throughput of a call, its memory, peak memory of a case."""

import gc
import math
import os
import re
import statistics
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import accumulate
from pathlib import Path

import torch
from torch import nn

ENOUGH_SECONDS = 3.0
THROUGHPUT_SECONDS = 0.25


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


def images_per_second(call: Callable[[], object], images: int, call_seconds: float, device: torch.device) -> float:
    """Throughput of warm calls of ``images`` images each, from one run of many without a wait between them.

    The device is synchronised at the two ends only, so that on CUDA the host's work overlaps with the device's.
    ``call_seconds``, the latency of a call, says how many calls fill :data:`THROUGHPUT_SECONDS`, at least one. A call
    that takes :data:`ENOUGH_SECONDS` or longer is not made again: there is nothing to overlap, and its latency tells all.
    """
    if call_seconds >= ENOUGH_SECONDS:
        return images / call_seconds
    calls = math.ceil(THROUGHPUT_SECONDS / call_seconds)
    synchronise(device)
    start = time.perf_counter()
    for _ in range(calls):
        call()
    synchronise(device)
    return images * calls / (time.perf_counter() - start)


def inference_memory_mb(call: Callable[[], object], modules: Iterable[nn.Module], device: torch.device) -> float | None:
    """MB (2^20 bytes) that must be free to run ``call()``: the weights of ``modules``, and the peak of all else.

    Weights are the parameters and buffers, each once, as they are kept. All else is what PyTorch's allocator gives out
    on ``device`` during the call: the inputs that the call makes, activations, outputs, and the kernels' workspaces; the
    most that is held at one time. It is followed by the profiler, allocation by allocation, on both devices: a CPU has
    no other counter, and resetting CUDA's would erase the peak that :class:`PeakMemory` is after.

    What was allocated before does not count, so neither does training state; nor the runtime and what libraries
    allocate by themselves or keep for good (cuBLAS's workspace). None where the allocator reports nothing, as CUDA's
    asynchronous one. Gradients should be off.
    """
    from torch.autograd.profiler import profile

    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # else the profiler reports each start and stop on stderr
    if device.type == "cuda":
        call()  # cuDNN tries its algorithms at the first call, with workspaces that it does not need later
        gc.collect()  # what a case before left behind must not be freed during the call
    with profile(profile_memory=True) as seen:
        call()
    events = [event for event in seen.kineto_results.events() if event.name() == "[memory]"]
    events = sorted((event for event in events if _kind(event) == device.type), key=lambda event: event.start_ns())
    if not events:
        return None
    weights = {tensor for module in modules for tensor in (*module.parameters(), *module.buffers())}
    held = max(accumulate(event.nbytes() for event in events))
    return (sum(tensor.nbytes for tensor in weights) + held) / 2**20


def _kind(event: object) -> str:
    """The device type of a profiler's event, as in ``torch.device.type``."""
    return event.device_type().name.lower()


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
        with suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")
            self.reset = True

    def megabytes(self) -> float | None:
        """The peak so far."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device) / 2**20
        found = re.search(r"VmHWM:\s+(\d+) kB", self.status.read_text()) if self.reset else None
        return int(found[1]) / 1024 if found else None
