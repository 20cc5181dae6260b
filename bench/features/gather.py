"""Brings a teacher's features from the device to the CPU, beside its work on the next images; overflow is an error."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bench.features.forward import Pass
from bench.kit.array_store import StoreError


@dataclass(frozen=True)
class OnDevice:
    """A shard's arrays in their stored type, perhaps still being computed, and the least and largest values of each before
    it was brought to that type, NaN where one was: float32 ``[arrays, K]``."""

    arrays: dict[str, Tensor]
    extremes: Tensor
    ready: "torch.cuda.Event | None"


def gathered(parts: list[dict[str, Tensor]], dtype: str) -> OnDevice:
    """The arrays of several forward passes, one after the other; nothing here waits for the device."""
    kept = {name: torch.cat([part[name].to(getattr(torch, dtype)) for part in parts]) for name in parts[0]}
    bounds = [[bound for part in parts for bound in part[name].aminmax()] for name in kept]
    extremes = torch.stack([torch.stack(row).float() for row in bounds])
    ready = torch.cuda.current_stream(extremes.device).record_event() if extremes.is_cuda else None
    return OnDevice(kept, extremes, ready)


def to_cpu(made: OnDevice, work: Pass, stream: "torch.cuda.Stream | None") -> dict[str, np.ndarray]:
    """The arrays on the CPU, on CUDA copied on ``stream``; raises :class:`StoreError` where one is not finite or overflows."""
    arrays, extremes = made.arrays, made.extremes
    if stream is not None:
        with torch.cuda.stream(stream):
            stream.wait_event(made.ready)
            arrays, extremes = {name: _pinned(values) for name, values in arrays.items()}, _pinned(extremes)
        stream.synchronize()
    for (name, values), largest in zip(arrays.items(), extremes.abs().amax(dim=1).tolist(), strict=True):
        if not math.isfinite(largest):
            raise StoreError(
                f"{work.name}: the teacher's {name} is not finite in {work.precision}; try --precision fp32, and another "
                "checkpoint if that does not help"
            )
        if largest > torch.finfo(values.dtype).max:
            raise StoreError(
                f"{work.name}: the teacher's {name} has values beyond {work.needs.dtype}, up to {largest:.3g}; store the "
                "features of this profile with 'features: float32' in matrix.yaml"
            )
    return {name: values.numpy() for name, values in arrays.items()}


def _pinned(values: Tensor) -> Tensor:
    return torch.empty(values.shape, dtype=values.dtype, pin_memory=True).copy_(values, non_blocking=True)
