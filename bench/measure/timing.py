"""Time, memory and energy of one device: latency and throughput of a call, its memory and energy, peak memory of a case.

Energy is that of an NVIDIA GPU's board, from its own counter, through NVML: what the whole board has drawn since the driver
was loaded, chip, memory and losses, idle power and whatever else runs on the same GPU included. Nothing is subtracted. The
host's energy is not in it.
"""

import gc
import math
import os
import re
import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import accumulate, count
from pathlib import Path

import torch
from torch import nn

from bench.kit.memory import return_freed_memory

ENOUGH_SECONDS = 3.0
THROUGHPUT_SECONDS = 0.25
# Newer boards update the counter every 20 to 100 ms (PETSc's manual, PetscLogGpuEnergyMeter). Counting starts and ends at
# an update, each seen at most one chunk late: an error of up to 1 % at either end.
RUN_SECONDS = 2.0
CHUNK_SECONDS = 0.02
STALE_SECONDS = 1.0  # a counter that stands still for so long under load is none


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


def energy_mj_per_image(
    call: Callable[[], object], images: int, call_seconds: float, device: torch.device
) -> float | None:
    """Millijoules that the whole board draws for each image while ``call()``, of ``images`` images, runs on and on.

    The run takes :data:`RUN_SECONDS` and a little more; ``call_seconds`` is about what one call takes, and calls should
    be warm. None where there is no such counter: on a CPU, without NVML, on boards before Volta, on a part of a board
    (MIG), or where the counter stands still or falls.
    """
    if device.type != "cuda":
        return None
    import pynvml

    calls = max(1, round(CHUNK_SECONDS / call_seconds))

    def chunk() -> None:
        for _ in range(calls):
            call()
        synchronise(device)

    try:
        pynvml.nvmlInit()
        try:
            # Not by its number: CUDA_VISIBLE_DEVICES and CUDA_DEVICE_ORDER change CUDA's numbers.
            board = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{torch.cuda.get_device_properties(device).uuid}")
            start = None
            for update in _updates(lambda: pynvml.nvmlDeviceGetTotalEnergyConsumption(board), chunk):
                start = start or update
                seconds, chunks, millijoules = (now - then for now, then in zip(update, start, strict=True))
                if seconds >= RUN_SECONDS:
                    return millijoules / (chunks * calls * images)
        finally:
            pynvml.nvmlShutdown()
    except pynvml.NVMLError:
        pass
    return None


def _updates(read: Callable[[], int], work: Callable[[], None]) -> Iterator[tuple[float, int, int]]:
    """Time in seconds, calls of ``work()`` so far, and the counter, at each of its updates; ends where it is none."""
    last, updated = read(), time.perf_counter()
    for done in count(1):
        work()
        value, now = read(), time.perf_counter()
        if value < last or (value == last and now - updated > STALE_SECONDS):
            return
        if value > last:
            last, updated = value, now
            yield now, done, value


class PeakMemory:
    """Peak memory in MB (2^20 bytes) since construction: the device's allocations on CUDA, else the process's.

    On Linux what is free is returned and the process's high-water mark reset first; where that is not possible the value is
    None, because it would be that of an earlier case.
    """

    def __init__(self, device: torch.device):
        self.device, self.reset = device, False
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
            return
        return_freed_memory()
        with suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")
            self.reset = True

    def megabytes(self) -> float | None:
        """The peak so far."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device) / 2**20
        peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text()) if self.reset else None
        return int(peak[1]) / 1024 if peak else None
