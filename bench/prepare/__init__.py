"""Prepares a real dataset: archives fetched or found, unpacked, counted, checked and decoded once.

python -m bench prepare tiny-imagenet coco                download the official archives
python -m bench prepare coco --archives DIR               take them from a folder
python -m bench prepare coco --archives DIR --subset      accept fewer images than the official counts

All of it lies in ``<data>/<dataset>/``: ``files/`` as unpacked, ``pixels-train/`` and ``pixels-test/`` (uint8 stores),
``train.json`` and ``test.json`` (what each image is), and ``manifest.json``, which appears last. Every step can be
interrupted; the same command goes on.
"""

import hashlib
import json
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from filelock import FileLock

from bench import places, store
from bench.ahead import ahead
from bench.files import write_text
from bench.prepare import archive as archives_
from bench.prepare import download, images

FORMAT = 1
TOLERATED = 0.001  # share of images that may be bad
SHARD = 1024

# ``task(title)`` gives a context that yields ``advance(done, total)``.
Task = Callable[[str], AbstractContextManager[Callable[[int, int], None]]]


class PrepareError(RuntimeError):
    """The dataset cannot be prepared; the message says which part and what to do."""


@dataclass(frozen=True)
class Archive:
    """An official archive. ``checksum`` is "algorithm:hex", ``source`` names who published it."""

    name: str
    url: str
    bytes: int
    checksum: str
    source: str
    largest_bytes: int  # unpacked


@dataclass(frozen=True)
class Index:
    """What a dataset's files are: by split the images (paths under ``files/``) and, for each, its label or captions.

    ``left_out`` counts images that the archives hold and the benchmark does not use, by reason.
    """

    files: dict[str, list[str]]
    labels: dict[str, list[int]]
    captions: dict[str, list[list[str]]]
    classes: list[str]
    left_out: dict[str, int]


def prepare(name: str, given: Path | None, subset: bool, say: Callable[[str], None], task: Task) -> Path:
    """Prepare the dataset called ``name`` and return its manifest; does nothing where it is prepared already.

    ``given`` is a folder that holds the archives; without it they are downloaded. Raises :class:`PrepareError`,
    :class:`~bench.prepare.download.DownloadError` or :class:`~bench.prepare.archive.ArchiveError`.
    """
    dataset = import_module(f"bench.data.{name.replace('-', '_')}")
    if not dataset.PREPARED:
        raise PrepareError(f"{name} is drawn by the suite itself: there is nothing to prepare")
    folder = places.data_folder() / name
    folder.mkdir(parents=True, exist_ok=True)
    _announce(name, dataset, folder, say)
    with FileLock(folder / "lock"):
        found = {entry.name: _obtain(entry, name, given, subset, folder, task) for entry in dataset.ARCHIVES}
        sources = [{"name": path.name, "bytes": path.stat().st_size} for path in found.values()]
        manifest = folder / "manifest.json"
        if _is_prepared(manifest, sources, subset):
            say(f"{name} is prepared already in {places.shown(folder)}")
            return manifest
        manifest.unlink(missing_ok=True)
        _unpack(dataset, found, folder, task)
        return _finish(name, dataset, folder, sources, subset, say, task)


def _announce(name: str, dataset, folder: Path, say: Callable[[str], None]) -> None:
    """Say what will be used, under which licence and how much disk it takes, before anything starts."""
    say(f"{name}: {dataset.LICENCE}")
    for entry in dataset.ARCHIVES:
        say(f"  {entry.url}  {store.gigabytes(entry.bytes)}, {entry.checksum} ({entry.source})")
    say(
        f"  disk needed in {places.shown(folder)}: about {dataset.DISK_GB} GB (archives, unpacked files, decoded "
        f"pixels); free: {store.gigabytes(shutil.disk_usage(folder).free)}"
    )


def _obtain(entry: Archive, name: str, given: Path | None, subset: bool, folder: Path, task: Task) -> Path:
    """The archive's file: from ``given`` where that is set, else downloaded; verified unless it is a subset's."""
    if given is None:
        path = folder / "archives" / entry.name
        with task(f"{entry.name}: download") as advance:
            download.fetch(entry.url, path, entry.bytes, entry.checksum, advance)
        return path
    candidates = [given / entry.name, given / name / entry.name]
    path = next((path for path in candidates if path.is_file()), None)
    if path is None:
        raise PrepareError(f"{entry.name} is neither in {given} nor in {given / name}; it is published at {entry.url}")
    if subset:
        return path
    if path.stat().st_size != entry.bytes:
        raise PrepareError(
            f"{path} has {path.stat().st_size:,} bytes, the official archive has {entry.bytes:,}; fetch it again from "
            f"{entry.url}, or accept a smaller set with --subset"
        )
    algorithm, _, expected = entry.checksum.partition(":")
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, algorithm).hexdigest()
    if digest != expected:
        raise PrepareError(f"{path} has {algorithm} {digest}, {entry.source} publishes {expected}; fetch it again")
    return path


def _is_prepared(manifest: Path, sources: list[dict], subset: bool) -> bool:
    try:
        content = json.loads(manifest.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    wanted = {"format": FORMAT, "archives": sources, "subset": subset}
    return all(content.get(key) == value for key, value in wanted.items())


def _unpack(dataset, found: dict[str, Path], folder: Path, task: Task) -> None:
    for entry in dataset.ARCHIVES:
        with task(f"{entry.name}: unpack") as advance:
            archives_.unpack(found[entry.name], folder / "files", advance, entry.largest_bytes)


def _finish(name: str, dataset, folder: Path, sources: list, subset: bool, say, task: Task) -> Path:
    """Index, count, check and decode; write the manifest."""
    index = dataset.index(folder / "files")
    _check_counts(name, index, dataset.EXPECTED, subset)
    content = {
        "format": FORMAT,
        "dataset": name,
        "subset": subset,
        "archives": sources,
        "licence": dataset.LICENCE,
        "classes": index.classes,
        "left_out": index.left_out,
        "skipped": [],
        "splits": {},
    }
    for split, files in index.files.items():
        bad = _faults(folder, split, files, task)
        content["skipped"] += [{"file": file, "reason": reason} for file, reason in bad.items()]
        content["splits"][split] = _write_split(folder, split, index, bad, dataset.SIDE, dataset.CROP, task)
        say(f"  {split}: {content['splits'][split]['images']:,} images{_told(bad)}")
    for reason, count in index.left_out.items():
        say(f"  {count:,} images left out: {reason}")
    write_text(folder / "manifest.json", json.dumps(content, indent=1) + "\n")
    return folder / "manifest.json"


def _told(bad: dict[str, str]) -> str:
    return f"; {len(bad)} bad ones skipped: {', '.join(bad)}" if bad else ""


def _check_counts(name: str, index: Index, expected: dict[str, int], subset: bool) -> None:
    counts = {split: len(files) for split, files in index.files.items()}
    if not all(counts.values()):
        raise PrepareError(f"{name}: no images found in {', '.join(split for split in counts if not counts[split])}")
    if counts != expected and not subset:
        raise PrepareError(f"{name} has {counts} images, expected {expected}; a smaller set is accepted with --subset")


def _faults(folder: Path, split: str, files: list[str], task: Task) -> dict[str, str]:
    """Bad images and why; raises :class:`PrepareError` where they are more than tolerated."""
    with task(f"{split}: check every image") as advance, ThreadPoolExecutor() as threads:
        bad = {}
        checks = threads.map(lambda file: images.fault(folder / "files" / file), files)
        for done, (file, reason) in enumerate(zip(files, checks, strict=True), start=1):
            if reason:
                bad[file] = reason
            if done % SHARD == 0 or done == len(files):
                advance(done, len(files))
    if len(bad) > TOLERATED * len(files):
        lines = [f"  {file}: {reason}" for file, reason in list(bad.items())[:20]]
        more = [f"  and {len(bad) - 20} more"] if len(bad) > 20 else []
        raise PrepareError(
            f"{len(bad)} of {len(files):,} images of {split} are bad, more than {100 * TOLERATED} %:\n"
            + "\n".join(lines + more)
            + "\nDelete them and run the same command again, or fetch the archives again."
        )
    return bad


def _write_split(folder: Path, split: str, index: Index, bad: dict, side: int, crop: bool, task: Task) -> dict:
    """The split's index and its store of pixels."""
    kept = [row for row, file in enumerate(index.files[split]) if file not in bad]
    content: dict = {"files": [index.files[split][row] for row in kept]}
    content["bytes"] = [(folder / "files" / file).stat().st_size for file in content["files"]]
    for key, values in (("labels", index.labels), ("captions", index.captions)):
        if split in values:
            content[key] = [values[split][row] for row in kept]
    text = json.dumps(content)
    write_text(folder / f"{split}.json", text)
    identity = hashlib.sha256(text.encode()).hexdigest()
    files = [folder / "files" / file for file in content["files"]]
    plan = pixels_plan(folder, split, len(files), side, crop, identity)
    title = f"{split}: decode to {side} px, {store.gigabytes(plan.bytes)}"
    with task(title) as advance, ThreadPoolExecutor() as threads:

        def work(shard: slice):
            return {"pixels": images.decode_all(files[shard], side, crop, threads)}

        store.fill(plan, lambda shards: ahead(shards, work), advance)
    return {"images": len(files), "captions": sum(map(len, content.get("captions", []))), "identity": identity}


def pixels_plan(folder: Path, split: str, count: int, side: int, crop: bool, identity: str) -> store.Plan:
    """The store of a split's decoded pixels, uint8 ``[N, 3, side, side]``."""
    facts = {"identity": identity, "decoder": images.DECODER, "crop": crop}
    return store.Plan(
        folder / f"pixels-{split}", facts, (store.Array("pixels", "uint8", (3, side, side)),), count, SHARD
    )
