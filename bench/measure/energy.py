"""Energy of a call on an NVIDIA GPU, from the counter of the board itself, through NVML.

The counter holds what the whole board has drawn since the driver was loaded: chip, memory and losses, idle power and
whatever else runs on the same GPU included. Nothing is subtracted. The host's energy is not in it.
"""

import time
from collections.abc import Callable, Iterator
from itertools import count

import torch

from bench.measure.timing import synchronise

# Newer boards update the counter every 20 to 100 ms (PETSc's manual, PetscLogGpuEnergyMeter). Counting starts and ends at
# an update, each seen at most one chunk late: an error of up to 1 % at either end.
RUN_SECONDS = 2.0
CHUNK_SECONDS = 0.02
STALE_SECONDS = 1.0  # a counter that stands still for so long under load is none


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
