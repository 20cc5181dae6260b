"""Runs a frozen teacher once over a dataset and stores what it says. Every student and every epoch read the store.

A store's key covers all that decides its content: the teacher's tensors, its preprocessing and tokenizer, precision,
the data, and the code that produces it. Library versions are written beside it and told when they differ. At each
opening the bytes are checked against their digests, and a random sample of rows against the live teacher.

Where a teacher's features are wider than its students expect (``reduce_to``), a PCA reduces them; it is fitted first, on
features of a sample of the training split, and is never a random layer.
"""

import hashlib
import json
import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock
from safetensors.torch import load_file, save_file
from torch import Tensor

from bench import catalog, places, store
from bench.ahead import ahead
from bench.data import Split
from bench.features import Features, Pca, fit_pca
from bench.files import write_atomically, write_text
from bench.store import Array, Plan, StoreError
from teachers import Teacher

CHUNK = 128  # images or captions that pass through the teacher at once
SHARD = 2 * CHUNK  # rows after which a pass that is killed goes on
PCA_ROWS = 4096
SAMPLE = 16  # rows that are computed again at each opening
# Largest relative error of a stored row against the live teacher. Half precision keeps 11 bits, bfloat16 8, and
# other batch sizes choose other kernels.
TOLERANCE = {"fp32": 0.01, "tf32": 0.02, "bf16": 0.08}
WORTH_TELLING = 5e7  # bytes on disk that get a line of their own before they are written
CODE = ("bench/teacher_pass.py", "bench/store.py", "bench/prepare/images.py", "teachers/__init__.py")
LIBRARIES = ("torch", "timm", "open_clip_torch", "transformers", "pillow")


@dataclass(frozen=True)
class Needs:
    """What students need of the features: patch tokens, captions' tokens, and the stored element type."""

    tokens: bool
    text_tokens: bool
    dtype: str = "float16"


@dataclass(frozen=True)
class Distilled:
    """A teacher's features of both splits, the reductions that made them, and the pass's cost in seconds."""

    train: Features
    test: Features
    image_pca: Pca | None
    text_pca: Pca | None
    seconds: float
    key: str
    weights_digest: str

    @property
    def width(self) -> int:
        return self.train.width


@dataclass(frozen=True)
class Pass:
    """A teacher on its device, what is asked of it, and where what it says is kept."""

    name: str  # <dataset>-<teacher>
    teacher: Teacher
    device: torch.device
    precision: str  # fp32, tf32 or bf16
    needs: Needs
    say: Callable[[str], None]
    task: Callable[[str], AbstractContextManager[Callable[[int, int], None]]]

    def mixed(self) -> AbstractContextManager:
        """Surrounds every forward pass."""
        return torch.autocast(self.device.type, torch.bfloat16) if self.precision == "bf16" else nullcontext()

    @torch.no_grad()
    def images(self, pixels: Tensor, pca: Pca | None) -> dict[str, Tensor]:
        """What the teacher says about uint8 images, by array name, on the device."""
        with self.mixed():
            said = self.teacher.image(self._moved(pixels))
        tokens = torch.cat([said.pooled[:, None], said.patches], dim=1) if self.needs.tokens else said.pooled[:, None]
        tokens = pca(tokens.float()) if pca else tokens
        arrays = {"pooled": tokens[:, 0], "attention": said.attention, "joint": said.joint}
        return arrays | ({"tokens": tokens} if self.needs.tokens else {})

    @torch.no_grad()
    def texts(self, captions: list[str], pca: Pca | None) -> dict[str, Tensor]:
        """What the teacher says about captions, by array name, tokens of all captions in one row of rows."""
        with self.mixed():
            said = self.teacher.text(captions)
        pooled = pca(said.pooled.float()) if pca else said.pooled
        arrays = {"text_pooled": pooled, "text_joint": said.joint}
        if self.needs.text_tokens:
            inside = torch.arange(said.tokens.shape[1], device=said.lengths.device) < said.lengths[:, None]
            tokens = said.tokens[inside]
            arrays["text_tokens"] = pca(tokens.float()) if pca else tokens
        return arrays

    def _moved(self, pixels: Tensor) -> Tensor:
        if self.device.type == "cuda":
            return pixels.pin_memory().to(self.device, non_blocking=True)
        return pixels


def distil(work: Pass, train: Split, test: Split, digest: str | None = None) -> Distilled:
    """Features of both splits, from the store where it has them. Raises :class:`StoreError` naming the key."""
    digest = digest or weights_digest(work.teacher)
    work, key = _keyed(work, train, test, digest)
    folder = places.features_folder() / f"{work.name}-{key}"
    folder.mkdir(parents=True, exist_ok=True)
    _note_versions(work, folder, digest)
    image_pca, text_pca = _reductions(work, folder, train)
    splits = {}
    for name, split in (("train", train), ("test", test)):
        arrays = _images(work, folder / f"{name}-images", split, image_pca)
        if split.captions:
            arrays |= _captions(work, folder / f"{name}-captions", split, text_pca)
        splits[name] = Features(split, arrays, work.teacher.scale, work.device)
    (folder / "complete").touch()
    seconds = sum(_read_seconds(folder).values())
    return Distilled(splits["train"], splits["test"], image_pca, text_pca, seconds, key, digest)


def weights_digest(teacher: Teacher) -> str:
    """sha256 of the names and contents of all of a teacher's tensors."""
    digest = hashlib.sha256()
    for name, tensor in sorted(teacher.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def _keyed(work: Pass, train: Split, test: Split, digest: str) -> tuple[Pass, str]:
    """The pass and its key; a store that holds tokens serves also where none are needed."""
    richer = replace(work, needs=Needs(True, bool(train.captions), work.needs.dtype))
    key = _key(richer, train, test, digest)
    if (places.features_folder() / f"{work.name}-{key}" / "complete").exists():
        return richer, key
    return work, _key(work, train, test, digest)


def _key(work: Pass, train: Split, test: Split, digest: str) -> str:
    teacher = work.teacher
    facts = {
        "weights": digest, "transform": teacher.transform, "tokenizer": teacher.tokenizer, "scale": teacher.scale,
        "reduce_to": teacher.reduce_to, "precision": work.precision, "needs": vars(work.needs),
        "data": [train.identity, test.identity],
        "code": {name: hashlib.sha256((catalog.ROOT / name).read_bytes()).hexdigest() for name in _code(work)},
    }  # fmt: skip
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def _code(work: Pass) -> tuple[str, ...]:
    return (*CODE, f"teachers/{type(work.teacher).__module__.rpartition('.')[2]}.py")


def _note_versions(work: Pass, folder: Path, digest: str) -> None:
    """Write what does not belong to the key; tell where the store was made with other libraries."""
    here = {name: metadata.version(name) for name in LIBRARIES}
    path = folder / "about.json"
    try:
        there = json.loads(path.read_text(encoding="utf-8"))["libraries"]
    except (OSError, ValueError, KeyError):
        about = {"name": work.name, "libraries": here, "weights": digest, "provenance": work.teacher.provenance}
        write_text(path, json.dumps(about | {"precision": work.precision, "needs": vars(work.needs)}, indent=1))
        return
    changed = [f"{name} {there.get(name)} (now {here[name]})" for name in here if there.get(name) != here[name]]
    if changed:
        work.say(f"features {folder.name} were stored with {', '.join(changed)}; a sample is checked all the same")


def _images(work: Pass, folder: Path, split: Split, pca: Pca | None) -> dict[str, Tensor]:
    with ThreadPoolExecutor() as threads:

        def view(rows: list[int]) -> Tensor:
            return split.view(rows, work.teacher.size, work.teacher.crop, threads)

        example = work.images(view([0]), pca)
        arrays = [Array(name, work.needs.dtype, tuple(value.shape[1:])) for name, value in example.items()]
        plan = Plan(folder, {"key": folder.parent.name}, tuple(arrays), len(split), SHARD)

        def produce(shards: list[slice]) -> Iterator[dict[str, np.ndarray]]:
            views = ahead([part for shard in shards for part in _parts(shard)], view)
            for shard in shards:
                yield _gathered([work.images(next(views), pca) for _ in _parts(shard)], work.needs.dtype, plan)

        return _stored(work, plan, produce, lambda rows: work.images(view(rows), pca))


def _captions(work: Pass, folder: Path, split: Split, pca: Pca | None) -> dict[str, Tensor]:
    def said(rows: list[int]) -> dict[str, Tensor]:
        return work.texts([split.captions[row] for row in rows], pca)

    lengths = work.teacher.lengths(split.captions)
    bounds = np.concatenate([[0], lengths.cumsum(0).numpy()])
    arrays = [
        Array(name, work.needs.dtype, tuple(value.shape[1:]), bounds if name == "text_tokens" else None)
        for name, value in said([0]).items()
    ]
    plan = Plan(folder, {"key": folder.parent.name}, tuple(arrays), len(split.captions), SHARD)

    def produce(shards: list[slice]) -> Iterator[dict[str, np.ndarray]]:
        for shard in shards:
            yield _gathered([said(part) for part in _parts(shard)], work.needs.dtype, plan)

    return _stored(work, plan, produce, said) | {"text_lengths": lengths}


def _parts(shard: slice) -> list[list[int]]:
    """The rows of a shard in chunks that pass through the teacher at once."""
    rows = list(range(shard.start, shard.stop))
    return [rows[start : start + CHUNK] for start in range(0, len(rows), CHUNK)]


def _gathered(parts: list[dict[str, Tensor]], dtype: str, plan: Plan) -> dict[str, np.ndarray]:
    """One shard's arrays on the CPU. Raises :class:`StoreError` where values overflow the element type."""
    rows = {name: torch.cat([part[name] for part in parts]).to(getattr(torch, dtype)) for name in parts[0]}
    for name, values in rows.items():
        if not values.isfinite().all():
            raise StoreError(
                f"{plan.folder}: {name} has values that are not finite in {dtype}; store features of this profile "
                "with 'features: float32' in matrix.yaml"
            )
    return {name: values.cpu().numpy() for name, values in rows.items()}


def _stored(work: Pass, plan: Plan, produce, again: Callable[[list[int]], dict[str, Tensor]]) -> dict[str, Tensor]:
    """The arrays of one store, filled where needed and checked against the live teacher."""
    what = f"{plan.folder.parent.name}: {plan.folder.name}"
    plan.folder.mkdir(parents=True, exist_ok=True)
    size = store.gigabytes(plan.bytes)
    if (missing := len(store.missing(plan))) and plan.bytes > WORTH_TELLING:
        part = "" if missing == len(plan.shards) else f", {missing} of {len(plan.shards)} shards to go"
        work.say(f"features {what} will take {size} in {places.shown(plan.folder.parent.parent)}{part}")
    start = time.perf_counter()
    with work.task(f"the teacher looks at every image once: {what}, {size}") as advance:
        arrays, notes = store.fill(plan, produce, advance)
    if missing or notes:
        _add_seconds(plan.folder, time.perf_counter() - start)
    for note in notes:
        work.say(note)
    found = {name: torch.from_numpy(array) for name, array in arrays.items()}
    _check_sample(work, plan, found, again)
    return found


def _check_sample(
    work: Pass, plan: Plan, found: dict[str, Tensor], again: Callable[[list[int]], dict[str, Tensor]]
) -> None:
    """Compute some rows again. Raises :class:`StoreError` naming the key where the store says something else."""
    rows = sorted(random.sample(range(plan.rows), min(SAMPLE, plan.rows)))
    arrays = {array.name: array for array in plan.arrays}
    for name, live in again(rows).items():
        spans = [arrays[name].span(row, row + 1) for row in rows]
        kept = torch.cat([found[name][start:stop] for start, stop in spans]).float().flatten(1)
        live = live.cpu().float().flatten(1)
        error = (kept - live).norm(dim=1) / live.norm(dim=1).clamp_min(1e-6)
        if not error.max() <= TOLERANCE[work.precision]:
            raise StoreError(
                f"stored features {plan.folder} (key {plan.facts['key']}) do not agree with the live teacher: {name} differs "
                f"by up to {100 * error.max():.1f} % in rows {rows}; delete that folder and run again"
            )


def _reductions(work: Pass, folder: Path, train: Split) -> tuple[Pca | None, Pca | None]:
    """PCAs for image and text features, fitted once and kept beside the stores; none where none is needed."""
    if work.teacher.reduce_to is None:
        return None, None
    path = folder / "reduction.safetensors"
    with FileLock(folder / "reduction.lock"):
        if not path.exists():
            start = time.perf_counter()
            fitted = _fit(work, train)
            tensors = {
                f"{side}.{name}": value
                for side, pca in fitted.items()
                for name, value in {
                    "weight": pca.weight, "bias": pca.bias, "explained": torch.tensor(pca.explained_variance).double()
                }.items()
            }  # fmt: skip
            write_atomically(path, lambda temporary: save_file(tensors, temporary))
            _add_seconds(path, time.perf_counter() - start)
        kept = load_file(path)
    return tuple(
        Pca(kept[f"{side}.weight"], kept[f"{side}.bias"], kept[f"{side}.explained"].item()).to(work.device)
        for side in ("image", "text")
    )


def _fit(work: Pass, train: Split) -> dict[str, Pca]:
    """PCAs fitted on pooled features and as many other tokens of a sample of the training split.

    One map has to serve pooled features and tokens, so both count the same; of few images, several tokens are drawn.
    """
    generator = torch.Generator().manual_seed(0)
    count = min(len(train), PCA_ROWS // 2)
    chosen = torch.randperm(len(train), generator=generator)[:count].sort().values
    several = max(1, PCA_ROWS // (2 * count))
    whole = replace(work, needs=Needs(True, True))
    images, texts = [], []
    with ThreadPoolExecutor() as threads:
        for rows in chosen.split(CHUNK):
            view = train.view(rows.tolist(), work.teacher.size, work.teacher.crop, threads)
            tokens = whole.images(view, None)["tokens"].float().cpu()
            images += [_drawn(one, several, generator) for one in tokens]
    for rows in torch.searchsorted(train.owner, chosen).split(CHUNK):
        captions = [train.captions[row] for row in rows]
        tokens = whole.texts(captions, None)["text_tokens"].float().cpu()
        texts += [_drawn(one, several, generator) for one in tokens.split(work.teacher.lengths(captions).tolist())]
    return {
        side: fit_pca(torch.cat(rows), work.teacher.reduce_to) for side, rows in (("image", images), ("text", texts))
    }


def _drawn(tokens: Tensor, several: int, generator: torch.Generator) -> Tensor:
    """The pooled token ``several`` times and as many of the others, drawn: ``[2 several, D]``."""
    others = 1 + torch.randint(len(tokens) - 1, (several,), generator=generator)
    return torch.cat([tokens[:1].expand(several, -1), tokens[others]])


def _read_seconds(folder: Path) -> dict[str, float]:
    try:
        return json.loads((folder / "seconds.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def _add_seconds(part: Path, seconds: float) -> None:
    """Count the time of a part of the pass; a part that was interrupted adds what it took in each session."""
    kept = _read_seconds(part.parent)
    kept[part.name] = kept.get(part.name, 0.0) + seconds
    write_text(part.parent / "seconds.json", json.dumps(kept))
