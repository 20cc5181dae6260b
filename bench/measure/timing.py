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
    that takes :data:`ENOUGH_SECONDS` or longer is not made again: its latency tells all.
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

    Weights are the parameters and buffers, each once. All else is the most that PyTorch's allocator gives out on
    ``device`` at one time during the call: the inputs that the call makes, activations, outputs, and the kernels'
    workspaces. The profiler follows it on both devices: a CPU has no other counter, and resetting CUDA's would erase the
    peak that :class:`PeakMemory` is after.

    What was allocated before, such as training state, does not count, nor does what libraries allocate by themselves.
    None where the allocator reports nothing, as CUDA's asynchronous one. Gradients should be off.
    """
    from torch.autograd.profiler import profile

    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # else the profiler reports each start and stop on stderr
    if device.type == "cuda":
        call()  # cuDNN tries its algorithms at the first call, with workspaces that it does not need later
        gc.collect()  # what a case before left behind must not be freed during the call
    with profile(profile_memory=True) as seen:
        call()
    events = sorted(seen.kineto_results.events(), key=lambda event: event.start_ns())
    events = [event for event in events if event.name() == "[memory]"]
    changes = [event.nbytes() for event in events if event.device_type().name.lower() == device.type]
    if not changes:
        return None
    weights = {tensor for module in modules for tensor in (*module.parameters(), *module.buffers())}
    return (sum(tensor.nbytes for tensor in weights) + max(accumulate(changes))) / 2**20


class PeakMemory:
    """Peak memory in MB (2^20 bytes) since construction: the device's allocations on CUDA, else the process's.

    On Linux the process's high-water mark is reset first; where that is not possible the value is None, because
    it would be that of an earlier case.
    """

    def __init__(self, device: torch.device):
        self.device, self.reset = device, False
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
        peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text()) if self.reset else None
        return int(peak[1]) / 1024 if peak else None
