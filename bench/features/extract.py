"""Runs a frozen teacher once over a dataset and stores its features. Every student and every epoch read the store.

A store's folder is named after a key that covers all that decides its content (:mod:`bench.features.forward`). At each opening
the bytes are checked against their digests, and a random sample of rows against the live teacher. A pass that was killed
goes on with the shards that are missing.
"""

import random
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import tee
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.data import views
from bench.data.split import Split
from bench.features.columns import Features
from bench.features.forward import (
    CAPTION_CHUNK,
    CHUNK,
    Needs,
    Pass,
    gathered,
    keyed,
    note_origin,
    to_cpu,
    weights_digest,
)
from bench.features.reduction import Pca, Reduction, load_or_fit
from bench.kit import array_store, paths
from bench.kit.array_store import StoreError
from bench.kit.array_store.layout import Array, Plan
from bench.kit.lock import locked
from bench.kit.markdown import gigabytes
from bench.kit.prefetch import prefetch
from bench.plan.case import Case
from teachers import Weights

__all__ = ["CHUNK", "Needs", "Pass", "StoreError", "TeacherFeatures", "extract", "weights_of"]

SHARD = 2  # chunks after which a pass that is killed goes on
LENGTHS = 2**16  # captions of a shard of lengths
SAMPLE = 16  # rows that are computed again at each opening
# Largest relative error of a stored row against the live teacher. Half precision keeps 11 bits, bfloat16 8, and
# other batch sizes choose other kernels.
TOLERANCE = {"fp32": 0.01, "tf32": 0.02, "bf16": 0.08}
WORTH_LOGGING = 5e7  # bytes on disk that get a line of their own before they are written


@dataclass(frozen=True)
class TeacherFeatures:
    """A teacher's features of both splits and of any prompts for zero-shot classification, the reductions that made them,
    and the seconds of the pass on the ``machine`` that began it."""

    train: Features
    test: Features
    prompts: Features | None
    image_pca: Pca | None
    text_pca: Pca | None
    seconds: float
    machine: str
    key: str
    weights_digest: str
    ask: Callable[[Tensor], dict[str, Tensor]]  # for features of uint8 images on the device, by array name
    views: Callable[[int], tuple[dict[str, Tensor], float]]  # so many stored of each training image, and the seconds


@dataclass(frozen=True)
class Part:
    """One store of a pass: its plan, how some rows of the dataset are read, and the teacher's forward pass over them.

    ``chunk`` rows pass through the teacher at once. Ragged arrays come with the store of their ``lengths``.
    """

    plan: Plan
    chunk: int
    read: Callable[[list[int]], Any]
    forward: Callable[[Any], dict[str, Tensor]]
    lengths: array_store.Filled | None = None

    def chunks(self, shard: slice) -> list[list[int]]:
        """The rows of a shard, ``chunk`` at a time."""
        rows = list(range(shard.start, shard.stop))
        return [rows[start : start + self.chunk] for start in range(0, len(rows), self.chunk)]


def weights_of(case: Case) -> Weights:
    """Which weights the case's teacher is loaded with."""
    real = case.dataset if case.weights == "pocket" and not case.is_drawn else None
    if case.has_random_teacher:
        return Weights("untrained", real) if case.weights == "pocket" else Weights("random")
    return Weights(case.weights, real, Path(case.checkpoint) if case.checkpoint else None, case.revision)


def extract(work: Pass, train: Split, test: Split, digest: str | None = None) -> TeacherFeatures:
    """Features of both splits, from the store where it has them. ``digest`` is that of the weights, where it is known.

    Raises :class:`StoreError`, naming the store, where it cannot be written or does not agree with the teacher.
    """
    digest = digest or weights_digest(work.teacher)
    work, folder = keyed(work, train, test, digest)
    splits = {"train": train, "test": test}
    with ThreadPoolExecutor() as threads:
        # What comes before is made once; then processes that want the same features share the pass.
        with locked(folder.with_name(f"{folder.name}.lock"), work.say):
            folder.mkdir(exist_ok=True)
            began = note_origin(work, folder, digest)
            reduced = load_or_fit(work, folder, train, threads)
            parts = {name: _parts(work, folder / name, split, reduced, threads) for name, split in splits.items()}
            _announce(work, folder, [part for several in parts.values() for part in several])
        features, seconds = [], reduced.seconds
        for name, split in splits.items():
            arrays: dict[str, Tensor] = {}
            for part in parts[name]:
                stored, spent = _opened(work, part)
                arrays, seconds = arrays | stored, seconds + spent
            features.append(Features(split, arrays, work.teacher.scale, work.device))
    _complete(folder)
    key = folder.name.rpartition("-")[2]
    return TeacherFeatures(
        *features, _prompts(work, test, reduced), reduced.image, reduced.text, seconds, began, key, digest,
        partial(work.images, pca=reduced.image), partial(_views, work, folder, train, reduced),
    )  # fmt: skip


def _parts(work: Pass, place: Path, split: Split, reduced: Reduction, threads: ThreadPoolExecutor) -> list[Part]:
    """The stores of a split, in folders that begin like ``place``."""

    def named(of: str) -> Path:
        return place.with_name(f"{place.name}-{of}")

    read, forward = partial(work.view, split, threads=threads), partial(work.images, pca=reduced.image)
    images = _part(work, named("images"), reduced, len(split), CHUNK, read, forward)
    if not split.captions:
        return [images]
    lengths = _lengths(work, named("lengths"), _facts(place.parent, reduced), split) if work.needs.text_tokens else None
    read, forward = (lambda rows: [split.captions[row] for row in rows]), partial(work.texts, pca=reduced.text)
    return [
        images,
        _part(work, named("captions"), reduced, len(split.captions), CAPTION_CHUNK, read, forward, lengths),
    ]


def _part(
    work: Pass,
    folder: Path,
    reduced: Reduction,
    count: int,
    chunk: int,
    read: Callable,
    forward: Callable,
    lengths=None,
) -> Part:
    """A store of what ``forward`` makes of ``count`` rows, whose first one is looked at now."""
    counts = lengths.arrays["text_lengths"] if lengths else []
    bounds = {"text_tokens": np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])}
    arrays = tuple(
        Array(name, work.needs.dtype, tuple(value.shape[1:]), bounds.get(name))
        for name, value in forward(read([0])).items()
    )
    plan = Plan(folder, _facts(folder.parent, reduced), arrays, count, SHARD * chunk)
    return Part(plan, chunk, read, forward, lengths)


def _facts(folder: Path, reduced: Reduction) -> dict[str, str]:
    """What a store in the teacher's ``folder`` says of itself."""
    return {"key": folder.name.rpartition("-")[2], "reduction": reduced.digest}


def _views(work: Pass, folder: Path, train: Split, reduced: Reduction, count: int) -> tuple[dict[str, Tensor], float]:
    """Features of ``count`` views of each of N training images, view by view ``[count * N, ...]``, and the seconds of the pass.

    The teacher reads a view in the pixels that the student reads, not the files that those were decoded from.
    """
    numbers = views.several(count, train)

    def read(rows: list[int]) -> tuple[Tensor, Tensor]:
        return train.pixels[[row % len(train) for row in rows]], numbers[rows]

    def forward(read: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        return work.images(views.render(*(part.to(work.device) for part in read)), reduced.image)

    with locked(folder.with_name(f"{folder.name}.lock"), work.say):
        part = _part(work, folder / f"views-{count}", reduced, len(numbers), CHUNK, read, forward)
        _announce(work, folder, [part])
    filled = _opened(work, part)
    _complete(folder)
    return filled


def _complete(folder: Path) -> None:
    """Mark the teacher's folder as complete, and as used now."""
    with suppress(OSError):  # complete before, in a folder that is only read
        (folder / "complete").touch()


def _lengths(work: Pass, folder: Path, facts: dict, split: Split) -> array_store.Filled:
    """How many tokens each caption has: stored too, since tokenising many captions takes long."""

    def produce(shards: Iterable[slice]) -> Generator[dict[str, np.ndarray], None, None]:
        return ({"text_lengths": work.teacher.lengths(split.captions[shard]).int().numpy()} for shard in shards)

    plan = Plan(folder, facts, (Array("text_lengths", "int32", ()),), len(split.captions), LENGTHS)
    return array_store.fill(plan, produce, say=work.say)


def _prompts(work: Pass, test: Split, reduced: Reduction) -> Features | None:
    """The teacher's features of the prompts of the split's concepts. They are few, and not stored."""
    if test.concepts is None:
        return None
    captions = test.concepts.prompts
    starts = range(0, len(captions), CAPTION_CHUNK)
    parts = [work.texts(list(captions[start : start + CAPTION_CHUNK]), reduced.text) for start in starts]
    arrays = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    if work.needs.text_tokens:
        arrays["text_lengths"] = work.teacher.lengths(captions)
    split = Split(torch.empty(0, 3, 1, 1, dtype=torch.uint8), captions=captions, owner=test.concepts.prompt_classes)
    return Features(split, arrays, work.teacher.scale, work.device)


def _announce(work: Pass, folder: Path, parts: list[Part]) -> None:
    """Log how much will be written, and check that the disk has room for it, before anything is."""
    if all(part.plan.is_complete() for part in parts):
        return
    (folder / "complete").unlink(missing_ok=True)
    count = sum(part.plan.unwritten() for part in parts)
    if count > WORTH_LOGGING:
        work.say(f"features {folder.name} will take {gigabytes(count)} in {paths.shown(folder.parent)}")
    array_store.check_space(folder, count)


def _opened(work: Pass, part: Part) -> tuple[dict[str, Tensor], float]:
    """The arrays of one store, filled where needed and checked against the live teacher, and the seconds it took."""
    plan = part.plan
    what = "is checked" if plan.is_complete() else "the teacher looks at all of it once"
    title = f"{plan.folder.parent.name}: {plan.folder.name}, {gigabytes(plan.bytes)}: {what}"
    with work.task(title) as advance:
        filled = array_store.fill(plan, partial(_produce, work, part), advance, work.say)
    arrays = {name: torch.from_numpy(array) for name, array in filled.arrays.items()}
    if not filled.fresh:
        _check_sample(work, part, arrays)
    if part.lengths is None:
        return arrays, filled.seconds
    arrays["text_lengths"] = torch.from_numpy(part.lengths.arrays["text_lengths"]).long()
    return arrays, filled.seconds + part.lengths.seconds


def _produce(work: Pass, part: Part, shards: Iterable[slice]) -> Generator[dict[str, np.ndarray], None, None]:
    """The rows of each shard: read one chunk ahead of the teacher, brought to the CPU one shard behind it."""
    stream = prepare = None
    if work.device.type == "cuda":
        stream, prepare = torch.cuda.Stream(work.device), partial(torch.cuda.set_device, work.device)
    shards, to_read = tee(shards)
    inputs = prefetch((rows for shard in to_read for rows in part.chunks(shard)), part.read, prepare)
    outputs = (gathered([part.forward(next(inputs)) for _ in part.chunks(shard)], work.needs.dtype) for shard in shards)
    yield from prefetch(outputs, partial(to_cpu, work=work, stream=stream), prepare)


def _check_sample(work: Pass, part: Part, stored: dict[str, Tensor]) -> None:
    """Compute some rows again. Raises :class:`StoreError` naming the key where the store holds something else."""
    plan = part.plan
    rows = sorted(random.Random().sample(range(plan.rows), min(SAMPLE, plan.rows)))
    live = part.forward(part.read(rows))
    for array in plan.arrays:
        ours = torch.cat([stored[array.name][slice(*array.span(row, row + 1))] for row in rows]).float().flatten(1)
        theirs = live[array.name].cpu().float().flatten(1)
        error = torch.tensor([torch.inf])
        if ours.shape == theirs.shape:
            error = (ours - theirs).norm(dim=1) / theirs.norm(dim=1).clamp_min(1e-6)
        if not error.max() <= TOLERANCE[work.precision]:
            raise StoreError(
                f"stored features {paths.shown(plan.folder)} (key {plan.facts['key']}) do not agree with the live teacher: "
                f"{array.name} differs by up to {100 * error.max():.1f} % in rows {rows}; delete {plan.folder.parent} and "
                "run again"
            )
