"""A teacher's features of a dataset, as students read them: arrays on the device, or on disk and streamed.

Arrays are kept in half precision and handed out in single precision. An array goes to the device whole when that has
the memory free; otherwise its rows are gathered from disk as they are needed, one batch ahead, through pinned memory.
"""

import copy
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property, partial
from pathlib import Path

import torch
from torch import Tensor

from bench.data.split import Split
from bench.kit.prefetch import prefetch
from teachers import sent

# Share of the free memory that stored arrays may take; the rest is for students, gradients and similarities.
SHARE = {"cuda": 0.6, "cpu": 0.4}


class Rows:
    """Row numbers, on the CPU and on the device: indexing there must not wait for a copy."""

    def __init__(self, rows: Tensor, device: torch.device):
        self.cpu = rows
        self.here = sent(rows, device)

    def __getitem__(self, part: slice) -> "Rows":
        """Some of the rows, which are on the device already."""
        rows = copy.copy(self)
        rows.cpu, rows.here = self.cpu[part], self.here[part]
        return rows

    def __mod__(self, count: int) -> "Rows":
        """The remainders of the rows, which are on the device already."""
        rows = copy.copy(self)
        rows.cpu, rows.here = self.cpu % count, self.here % count
        return rows

    def __len__(self) -> int:
        return len(self.cpu)


class Column:
    """One array ``[N, ...]`` of which rows are taken, as float32 unless it holds integers."""

    def __init__(self, source: Tensor, device: torch.device):
        self.device = device
        self.resident = source.nbytes <= SHARE[device.type] * free_bytes(device)
        # Copied also on the CPU: memory-mapped pages can be taken away again.
        self.source = source.to(device, copy=True) if self.resident else source

    def take(self, rows: Rows) -> Tensor:
        """Rows ``[len(rows), ...]`` on the device."""
        if self.resident:
            return _single(self.source[rows.here])
        # Into memory that is pinned already, and is used again: to gather first and pin then takes eight times as long.
        shape, pinned = (len(rows), *self.source.shape[1:]), self.device.type == "cuda"
        gathered = torch.empty(shape, dtype=self.source.dtype, pin_memory=pinned)
        torch.index_select(self.source, 0, rows.cpu, out=gathered)
        return _single(gathered.to(self.device, non_blocking=True))


@dataclass(frozen=True)
class Batch:
    """One batch on the device: the towers' inputs, and for the loss the teacher's ``attention [B, P]``, ``joint [B, E]``,
    ``text_joint [B, E]`` and ``tokens [B, 1 + P, D]``, and ``labels``, int64 ``[B]`` or of mixed images shares ``[B, C]``; each
    None where the loss does not need it."""

    inputs: Tensor
    attention: Tensor | None = None
    joint: Tensor | None = None
    text_inputs: tuple[Tensor, ...] = ()
    text_joint: Tensor | None = None
    labels: Tensor | None = None
    tokens: Tensor | None = None

    def tensors(self) -> Iterator[Tensor]:
        for value in vars(self).values():
            yield from value if isinstance(value, tuple) else [value] if value is not None else []


class Features:
    """A teacher's features of one split, beside the split itself.

    ``arrays`` by name: ``pooled [N, D]``, ``attention [N, P]`` (where needed) and unit-length ``joint [N, E]`` as in
    :class:`teachers.ImageFeatures`; ``tokens [N, 1 + P, D]``, the pooled token first, where a student needs them. For
    captions ``text_pooled [C, D]``, ``text_joint [C, E]`` and, where needed, ``text_tokens [sum of lengths, D]`` with
    ``text_lengths [C]``. ``scale`` is the factor on the teacher's cosines.
    """

    seconds = 0.0  # of a pass over what only this holds, beside those of the teacher's features

    def __init__(self, split: Split, arrays: dict[str, Tensor], scale: float, device: torch.device):
        self.split, self.scale, self.device = split, scale, device
        self.lengths = arrays.get("text_lengths")
        self._sources = arrays | {"pixels": split.pixels}
        if split.labels is not None:
            self._sources["labels"] = split.labels
        self._columns: dict[str, Column] = {}

    def __len__(self) -> int:
        return len(self.split)

    def __contains__(self, name: str) -> bool:
        """Whether there is such an array."""
        return name in self._sources

    def source(self, name: str) -> Tensor:
        """An array by name, as it is stored."""
        return self._sources[name]

    @property
    def width(self) -> int:
        """The features' width D."""
        return self._sources["pooled"].shape[-1]

    @property
    def joint_width(self) -> int:
        """The joint embeddings' width E."""
        return self._sources["joint"].shape[-1]

    @property
    def joint(self) -> Tensor:
        """All ``joint`` embeddings on the device, ``[N, E]``."""
        return _single(self._sources["joint"].to(self.device))

    @property
    def text_joint(self) -> Tensor:
        """All ``text_joint`` embeddings on the device, ``[C, E]``."""
        return _single(self._sources["text_joint"].to(self.device))

    def column(self, name: str) -> Column:
        """An array by name, brought to the device at first use if it fits."""
        if name not in self._columns:
            self._columns[name] = Column(self._sources[name], self.device)
        return self._columns[name]

    def images(self, rows: Rows, reads: str) -> Tensor:
        """What an image tower reads, by the student's ``READS``: ``[B, D]``, ``[B, 1 + P, D]`` or uint8 pixels."""
        return self.column(reads).take(rows)

    def texts(self, rows: Rows, reads: str) -> tuple[Tensor, ...]:
        """What a text tower reads, by the student's ``TEXT_READS``: ``[C, D]``, or ``[C, L, D]`` and lengths ``[C]``.

        L is the longest of these captions; beyond its own length a caption's tokens are those of its last one.
        """
        if reads == "pooled":
            return (self.column("text_pooled").take(rows),)
        lengths = self.lengths[rows.cpu]
        inside = torch.arange(int(lengths.max()))[None].minimum(lengths[:, None] - 1)
        positions = self._starts[rows.cpu][:, None] + inside
        flat = self.column("text_tokens").take(Rows(positions.flatten(), self.device))
        return flat.unflatten(0, positions.shape), Rows(lengths, self.device).here

    @cached_property
    def _starts(self) -> Tensor:
        return self.lengths.cumsum(0) - self.lengths

    def batch(self, images: Rows, captions: Rows | None, reads: str, text_reads: str, targets: tuple) -> Batch:
        """A training batch; ``captions`` are the rows of one caption for each image, or None.

        ``targets`` are what it has for the loss: "attention", "joint" (of captions too) and "labels".
        """
        take = self.taker(images)
        parts = {name: take(name) for name in targets}
        if captions is not None:
            parts["text_inputs"] = self.texts(captions, text_reads)
            if "joint" in targets:
                parts["text_joint"] = self.column("text_joint").take(captions)
        return Batch(take(reads), **parts)

    def rows(self, images: Tensor, epoch: int) -> Rows:
        """The rows of a training epoch over images in this order; only views make the epoch matter."""
        return Rows(images, self.device)

    def taker(self, rows: Rows) -> Callable[[str], Tensor]:
        """What takes these rows of an array, by its name."""
        return lambda name: self.column(name).take(rows)

    def resident(self, *names: str) -> bool:
        """Whether all of these arrays are on the device, after those that fit were brought there."""
        columns = [self.column(name) for name in names]
        return all(column.resident for column in columns)

    def only(self, *names: str) -> None:
        """Let go of all other arrays on the device: they come again when they are asked for."""
        for name in set(self._columns) - set(names):
            del self._columns[name]


def in_order(jobs: Iterable, fetch: Callable, device: torch.device, resident: bool) -> Iterator:
    """``fetch(job)`` for each job: at once where arrays are on the device, else one job ahead on a thread.

    On CUDA the copies run on a stream of their own, so that they overlap with the work on the batch before.
    """
    if resident:
        yield from map(fetch, jobs)
        return
    if device.type != "cuda":
        yield from prefetch(jobs, fetch)
        return
    stream = _copies(device)
    # Row numbers and whole arrays may still be on their way.
    stream.wait_stream(torch.cuda.current_stream(device))

    def work(job):
        with torch.cuda.stream(stream):
            batch = fetch(job)
            return batch, stream.record_event()

    for batch, ready in prefetch(jobs, work, partial(torch.cuda.set_device, device)):
        current = torch.cuda.current_stream(device)
        current.wait_event(ready)
        for tensor in batch.tensors() if isinstance(batch, Batch) else batch:
            tensor.record_stream(current)
        yield batch


@cache
def _copies(device: torch.device) -> torch.cuda.Stream:
    """The stream of all copies to a device: PyTorch's allocator keeps memory for each stream that was ever used."""
    return torch.cuda.Stream(device)


def free_bytes(device: torch.device) -> int:
    """Memory that is free on the device; on the CPU what the system can give without swapping."""
    if device.type == "cuda":
        # What PyTorch holds and does not use, it gives out again.
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + unused
    try:
        available = re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text())
        return int(available[1]) * 1024
    except (OSError, TypeError):
        return 2**32  # not Linux: a modest guess, and streaming where it does not suffice


def drawn_captions(owner: Tensor, images: Tensor, generator: torch.Generator) -> Tensor:
    """Rows of one caption for each of ``images [B]``, all of its captions being equally likely: int64 ``[B]``."""
    first, counts = torch.searchsorted(owner, images), torch.bincount(owner)[images]
    return first + (torch.rand(len(images), generator=generator) * counts).long()


def _single(rows: Tensor) -> Tensor:
    return rows.float() if rows.is_floating_point() else rows
