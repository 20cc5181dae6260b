"""Energy of a call on an NVIDIA GPU, from the counter of the board itself, through NVML.

The counter holds what the whole board has drawn since the driver was loaded: chip, memory and losses, idle power and
whatever else runs on the same GPU included. Nothing is subtracted. The host's energy is not in it.
"""

import time
from collections.abc import Callable

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
    name = _board(device)
    if name is None:
        return None
    import pynvml

    try:
        pynvml.nvmlInit()
        try:
            handle = pynvml.nvmlDeviceGetHandleByUUID(name)
            return _between_updates(
                lambda: pynvml.nvmlDeviceGetTotalEnergyConsumption(handle), call, images, call_seconds, device
            )
        finally:
            pynvml.nvmlShutdown()
    except pynvml.NVMLError:
        return None


def _board(device: torch.device) -> str | None:
    """NVML's name of a CUDA device. Its numbers would not do: CUDA_VISIBLE_DEVICES and CUDA_DEVICE_ORDER change CUDA's."""
    if device.type != "cuda":
        return None
    found = getattr(torch.cuda.get_device_properties(device), "uuid", None)
    return f"GPU-{str(found).removeprefix('GPU-')}" if found else None


def _between_updates(
    read: Callable[[], int], call: Callable[[], object], images: int, call_seconds: float, device: torch.device
) -> float | None:
    """Millijoules an image, from an update of the counter to the first one after :data:`RUN_SECONDS`."""
    calls = max(1, round(CHUNK_SECONDS / call_seconds))
    last, updated, begun = read(), time.perf_counter(), None
    chunks, first = 0, 0
    while True:
        for _ in range(calls):
            call()
        synchronise(device)
        chunks += 1
        value, now = read(), time.perf_counter()
        if value < last or (value == last and now - updated > STALE_SECONDS):
            return None
        if value == last:
            continue
        last, updated = value, now
        if begun is None:
            begun, first, chunks = now, value, 0
        elif now - begun >= RUN_SECONDS:
            return (value - first) / (chunks * calls * images)
