"""Prepares a real dataset: archives fetched or found, unpacked, counted, checked and decoded once.

python -m bench prepare tiny-imagenet coco                download the official archives
python -m bench prepare coco --archives DIR               take them, or what they unpack to, from a folder
python -m bench prepare coco --archives DIR --subset      accept fewer images than the official counts, repacked archives

All of it lies in ``<data>/<dataset>/``: ``files/`` as unpacked and, of each split, ``pixels-train/`` (a uint8 store),
``train.json`` (what each image is), with captions ``concepts-train.json`` (what it shows), and ``bad-train.txt`` where some
images are bad; ``manifest.json`` appears last. Every step can be interrupted; the same command goes on. Where all is done,
it verifies every byte that is read later, and repairs.

A set that is prepared already stays as it is while all archives of the next one are looked at. Before the first of its
files is changed, its manifest makes way for one that lists no split and names the command that goes on.
"""

import json
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path

from bench import registry
from bench.data import prepared, twins
from bench.data.archives import Index, PrepareError
from bench.kit import paths
from bench.kit.files import seal, sweep, write_text
from bench.kit.lock import locked
from bench.kit.markdown import gigabytes
from bench.prepare import unpack
from bench.prepare.origin import Say, Task, find, obtain, require_disk, sources
from bench.prepare.pictures import bad_list, check_split, prepare_split


def prepare(name: str, given: Path | None, subset: bool, say: Say, task: Task) -> Path:
    """Prepare the dataset called ``name`` and return its manifest; changes nothing where it is prepared and unaltered.

    ``given`` is a folder that holds the archives, or what they unpack to; without it they are downloaded. Raises
    :class:`PrepareError` or :class:`~bench.kit.array_store.StoreError`.
    """
    dataset = registry.module("dataset", name)
    if not dataset.PREPARED:
        raise PrepareError(f"{name} is drawn by the suite itself: there is nothing to prepare")
    folder, given = paths.data_folder() / name, given and given.expanduser().resolve()
    path = folder / "manifest.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _announce(name, dataset, folder, say)
        with locked(folder / "lock", say):
            manifest = {
                "format": prepared.FORMAT,
                "dataset": name,
                "archives": sources(dataset.ARCHIVES, name, given),
                "subset": subset,
                "archives_folder": given and str(given),
                "licence": dataset.LICENCE,
                "left_out": {},
                "skipped": [],
                "splits": {},
            }
            if path.exists() and _is_prepared(folder, manifest, say, task):
                say(f"{name} is prepared already in {paths.shown(folder)}")
                return path
            withdraw = cache(lambda: path.exists() and write_text(path, seal(manifest)))  # once
            index = _unpack(dataset, folder, given, manifest, say, task, withdraw)
            withdraw()
            write_text(path, seal(manifest | _decode(name, folder, index, say, task)))
    except OSError as error:
        raise PrepareError(
            f"{name} cannot be prepared in {folder}: {error}; fix that and run the same command again: it goes on where it stopped"
        ) from error
    return path


def _announce(name: str, dataset, folder: Path, say: Say) -> None:
    """Say what will be used, under which licence and how much disk it takes, before anything starts."""
    say(f"{name}: {dataset.LICENCE}")
    for entry in dataset.ARCHIVES:
        say(f"  {entry.url}  {gigabytes(entry.bytes)}, {entry.checksum} ({dataset.CHECKSUMS})")
    say(
        f"  disk needed in {paths.shown(folder)}: about {dataset.DISK_GB} GB for the whole set (archives, unpacked "
        f"files, decoded pixels); free: {gigabytes(shutil.disk_usage(folder).free)}"
    )


def _is_prepared(folder: Path, wanted: dict, say: Say, task: Task) -> bool:
    """Whether the dataset of the ``wanted`` manifest is there, down to every byte that is read later."""
    source = prepared.shipped(wanted["dataset"])
    try:
        content = prepared.manifest(source)
        if content["archives"] != wanted["archives"] or (content["subset"] and not wanted["subset"]):
            return False
        for split in prepared.SPLITS:
            prepared.pixels(source, split)
            prepared.concepts(source, split)
            if altered := check_split(folder, split, prepared.index(source, split), task):
                say(f"  repairing: {altered} is missing or was altered")
                return False
    except prepared.AlteredError as error:
        say(f"  repairing: {error.what}")
        return False
    return True


def _unpack(
    dataset, folder: Path, given: Path | None, wanted: dict, say: Say, task: Task, withdraw: Callable[[], object]
) -> Index:
    """Get and unpack the archives; returns what they hold, if that is a dataset.

    ``withdraw`` is called before anything that is there is changed.
    """
    name, expected = wanted["dataset"], None if wanted["subset"] else _counts(dataset.EXPECTED)
    entries = dataset.ARCHIVES
    folders = [one for one in entries if given and find(one, name, given).is_dir()]
    if expected and not folders:  # what is linked takes no room; what is copied is checked below
        require_disk(name, dataset.DISK_GB - (sum(one.bytes for one in entries) / 1e9 if given else 0), folder)
    archives = [(obtain(one, name, given, expected, folder, say, task), one.largest_bytes) for one in entries]
    files, names = folder / "files", set()
    with task(f"{name}: look into the archives"):
        unpack.check(archives, files)
    sweep(folder)
    for path, largest_bytes in archives:
        with task(f"{path.name}: unpack") as advance:
            unpacked = unpack.unpack(path, files, advance, largest_bytes, before_change=withdraw)
        names.update(file.relative_to(files).as_posix() for file in unpacked)
    with task(f"{name}: read what the images are"):
        index = dataset.index(files, names)
    if wanted["subset"]:
        index = index.among(names)
    for file in set().union(*index.files.values()) - names:
        withdraw()
        (files / file).unlink(missing_ok=True)  # another archive's, from before: this one lacks it
    counts = {split: len(listed) for split, listed in index.files.items()}
    if empty := [split for split, count in counts.items() if not count]:
        raise PrepareError(f"{name}: the archives hold no images of {' and '.join(empty)}")
    if expected and counts != dataset.EXPECTED:
        raise PrepareError(f"{name} has {_counts(counts)}, expected {expected}; --subset accepts a smaller set")
    return index


def _counts(counts: dict[str, int]) -> str:
    return " and ".join(f"{count:,} {split} images" for split, count in counts.items())


def _say_twins(folder: Path, say: Say) -> None:
    """Say which files are there twice, of which a profile may leave out those of the training split."""
    train, test = (json.loads((folder / f"{split}.json").read_text(encoding="utf-8")) for split in prepared.SPLITS)
    labels = (train["labels"], test["labels"]) if "labels" in train else None
    counted = twins.count(train["checksums"], test["checksums"], labels)
    otherwise = f", {counted.copies_otherwise:,} of them under another label" if labels else ""
    copies = f"{counted.copies:,} training images repeat an earlier one{otherwise}" if counted.copies else ""
    if text := "; ".join(filter(None, (counted.text, copies))):
        say(f"  {text}; a profile with 'dedupe: true' trains without them")


def _decode(name: str, folder: Path, index: Index, say: Say, task: Task) -> dict:
    """Check and decode all images; returns what the manifest says of them."""
    splits, skipped = {}, []
    for split in prepared.SPLITS:
        bad_list(folder, split).unlink(missing_ok=True)  # of what was prepared before
    for split in index.files:
        splits[split], bad = prepare_split(name, folder, split, index, say, task)
        skipped += bad
    for reason, count in index.left_out.items():
        say(f"  {count:,} images left out: {reason}")
    _say_twins(folder, say)
    return {"left_out": index.left_out, "skipped": skipped, "splits": splits}
