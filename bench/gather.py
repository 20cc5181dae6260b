"""Brings what a teacher said from the device to the CPU, beside its work on the next images; overflow is an error."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bench.ask import Pass
from bench.store import StoreError


@dataclass(frozen=True)
class OnDevice:
    """A shard's arrays in their stored type, perhaps still being computed.

    ``finite`` says of each array whether all of it is finite, before and after it took that type: bool ``[arrays, 2]``.
    """

    arrays: dict[str, Tensor]
    finite: Tensor
    ready: "torch.cuda.Event | None"


def gathered(parts: list[dict[str, Tensor]], dtype: str) -> OnDevice:
    """The arrays of several forward passes, one after the other; nothing here waits for the device."""
    whole = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    kept = {name: values.to(getattr(torch, dtype)) for name, values in whole.items()}
    finite = torch.stack([part[name].isfinite().all() for name in whole for part in (whole, kept)]).unflatten(
        0, (-1, 2)
    )
    ready = torch.cuda.current_stream(finite.device).record_event() if finite.is_cuda else None
    return OnDevice(kept, finite, ready)


def to_cpu(made: OnDevice, work: Pass, stream: "torch.cuda.Stream | None") -> dict[str, np.ndarray]:
    """The arrays on the CPU; on CUDA copied on ``stream``, through pinned memory.

    Raises :class:`StoreError` where an array is not finite.
    """
    arrays, finite = made.arrays, made.finite
    if stream is not None:
        with torch.cuda.stream(stream):
            stream.wait_event(made.ready)
            arrays, finite = {name: _pinned(values) for name, values in arrays.items()}, _pinned(finite)
        stream.synchronize()
    for name, (before, after) in zip(arrays, finite.tolist(), strict=True):
        if not before:
            raise StoreError(
                f"{work.name}: the teacher's {name} is not finite in {work.precision}; try --precision fp32, and another "
                "checkpoint if that does not help"
            )
        if not after:
            raise StoreError(
                f"{work.name}: the teacher's {name} has values beyond {work.needs.dtype}; store the features of this "
                "profile with 'features: float32' in matrix.yaml"
            )
    return {name: values.numpy() for name, values in arrays.items()}


def _pinned(values: Tensor) -> Tensor:
    return torch.empty(values.shape, dtype=values.dtype, pin_memory=True).copy_(values, non_blocking=True)
