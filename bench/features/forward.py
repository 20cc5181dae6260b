"""The forward pass of a frozen teacher: features of some images or captions, by the names of the stored arrays.

They are brought from the device to the CPU beside the teacher's work on the next ones; overflow is an error.
"""

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from bench.data.split import Split
from bench.kit.array_store import StoreError
from teachers import Teacher, sent

CHUNK = 128  # images that pass through the teacher at once
CAPTION_CHUNK = 512  # captions are short: fewer would leave a GPU waiting for the next launch


@dataclass(frozen=True)
class Needs:
    """What students need of the features: patch tokens, captions' tokens, and the stored element type."""

    tokens: bool
    text_tokens: bool
    dtype: str = "float16"


@dataclass(frozen=True)
class Pass:
    """A teacher on its device, which of its features are needed, and where lines and progress for the user go."""

    name: str  # <dataset>-<teacher>
    teacher: Teacher
    device: torch.device
    precision: str  # fp32, tf32 or bf16
    needs: Needs
    say: Callable[[str], None]
    task: Callable[[str], AbstractContextManager[Callable[[int, int], None]]]

    def mixed(self) -> AbstractContextManager:
        """Surrounds every forward pass."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16")

    def view(self, split: Split, rows: list[int], threads: ThreadPoolExecutor) -> Tensor:
        """The pixels of some images as this teacher reads them, on the CPU, ready to be copied to the device."""
        pixels = split.view(rows, self.teacher.size, self.teacher.crop, threads)
        return pixels.pin_memory() if self.device.type == "cuda" else pixels

    @torch.no_grad()
    def images(self, pixels: Tensor, pca: nn.Module | None) -> dict[str, Tensor]:
        """Features of uint8 images, by array name, on the device."""
        with self.mixed():
            features = self.teacher.image(pixels.to(self.device, non_blocking=True))
        tokens = features.pooled[:, None]
        if self.needs.tokens:
            tokens = torch.cat([tokens, features.patches], dim=1)
        tokens = pca(tokens.float()) if pca else tokens
        arrays = {"pooled": tokens[:, 0], "attention": features.attention, "joint": features.joint}
        return arrays | ({"tokens": tokens} if self.needs.tokens else {})

    @torch.no_grad()
    def texts(self, captions: list[str], pca: nn.Module | None) -> dict[str, Tensor]:
        """Features of captions, by array name, the tokens of all captions one after the other."""
        with self.mixed():
            features = self.teacher.text(captions)
        pooled = pca(features.pooled.float()) if pca else features.pooled
        arrays = {"text_pooled": pooled, "text_joint": features.joint}
        if self.needs.text_tokens:
            inside = torch.arange(features.tokens.shape[1]) < features.lengths[:, None]
            tokens = features.tokens.flatten(0, 1)[sent(inside.flatten().nonzero()[:, 0], self.device)]
            arrays["text_tokens"] = pca(tokens.float()) if pca else tokens
        return arrays


OnDevice = tuple[dict[str, Tensor], Tensor, "torch.cuda.Event | None"]


def gathered(parts: list[dict[str, Tensor]], dtype: str) -> OnDevice:
    """The arrays of several forward passes, one after the other, in their stored type; nothing here waits for the device.

    With the least and largest values of each before it was brought to that type, NaN where one was, float32 ``[arrays, K]``,
    and the event after which all of it is computed.
    """
    kept = {name: torch.cat([part[name].to(getattr(torch, dtype)) for part in parts]) for name in parts[0]}
    bounds = [[bound for part in parts for bound in part[name].aminmax()] for name in kept]
    extremes = torch.stack([torch.stack(row).float() for row in bounds])
    ready = torch.cuda.current_stream(extremes.device).record_event() if extremes.is_cuda else None
    return kept, extremes, ready


def to_cpu(made: OnDevice, work: Pass, stream: "torch.cuda.Stream | None") -> dict[str, np.ndarray]:
    """The arrays on the CPU, on CUDA copied on ``stream``; raises :class:`StoreError` where one is not finite or overflows."""
    arrays, extremes, ready = made
    if stream is not None:
        with torch.cuda.stream(stream):
            stream.wait_event(ready)
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
