"""Reads a prepared dataset: its manifest without torch, its splits with memory-mapped pixels.

``manifest.json`` holds the digests of the other JSON files, ``train.json`` and ``test.json`` those of the pictures, and the
stores of pixels carry their own: what was altered anywhere is refused, with the command that restores it.
"""

import hashlib
import json
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from bench import registry
from bench.data.split import AlteredError
from bench.kit import paths
from bench.kit.errors import UserError
from bench.kit.files import unseal
from bench.kit.paths import ROOT

if TYPE_CHECKING:
    import numpy as np

    from bench.data.split import Split
    from bench.kit.array_store.layout import Plan

FORMAT = 4
SPLITS = ("train", "test")
SHARD = 1024  # images of the store of pixels that are decoded, and checked, at a time
OWN_SHARD = 32  # of one's own, mostly larger: few enough to be digested and written from a processor's cache
FAULT = 120  # bytes of what is wrong with one of these


@dataclass(frozen=True)
class Source:
    """Where a dataset of files lies: what was made of it in ``folder``, the images themselves below ``files``.

    Students read it at ``side`` pixels, squashed or with the middle cut out (``crop``). ``is_own``: the images are the
    user's, as the matrix declares them, and not a set that ships with the suite.
    """

    name: str
    folder: Path
    files: Path
    side: int
    crop: bool
    is_own: bool = False


def shipped(dataset: str) -> Source:
    """Where a set that ships with the suite lies once it is prepared."""
    folder = paths.data_folder() / dataset
    side, crop = (registry.constant("dataset", dataset, name) for name in ("SIDE", "CROP"))
    return Source(dataset, folder, folder / "files", side, crop)


def is_prepared_kind(dataset: str) -> bool:
    """Whether the dataset consists of files that must be prepared, as opposed to drawn ones."""
    return registry.constant("dataset", dataset, "PREPARED")


def manifest(dataset: Source) -> dict:
    """What was prepared of a dataset. Raises :class:`UserError` with the command that prepares or repairs it."""
    path = dataset.folder / "manifest.json"
    try:
        content = unseal(path.read_text(encoding="utf-8"), FORMAT)
    except FileNotFoundError:
        raise UserError(
            f"{dataset.name} is not prepared in {paths.shown(paths.data_folder())}; prepare it with: "
            f"{_command(dataset, {})}, or name the place where it is with --data DIR"
        ) from None
    except (ValueError, RecursionError) as error:
        raise AlteredError(f"{path} cannot be used ({error})", repair_hint(dataset, {})) from None
    if not content["splits"]:
        reason = f"preparing {dataset.name} in {paths.shown(paths.data_folder())} was left unfinished"
        raise AlteredError(reason, repair_hint(dataset, content))
    return content


def _command(dataset: Source, content: dict) -> str:
    """The command that prepared the dataset of a manifest."""
    words = ["python", "-m", "bench", "prepare", dataset.name]
    if content.get("archives_folder"):
        words += ["--archives", content["archives_folder"]]
    if content.get("subset"):
        words += ["--subset"]
    if paths.data_folder() != ROOT / "data":
        words += ["--data", str(paths.data_folder())]
    return shlex.join(words)


def repair_hint(dataset: Source, content: dict) -> str:
    """What to do about a prepared dataset that was altered."""
    if dataset.is_own:
        return f"run again: a session looks at {paths.shown(dataset.files)} anew; if that does not help, delete {dataset.folder}"
    options = "" if content else ", with the --archives and --subset of the first time"
    return f"repair it with: {_command(dataset, content)}{options}"


def identity(dataset: Source) -> str:
    """What the dataset consists of, as a digest; "missing" where it is not prepared."""
    try:
        splits = manifest(dataset)["splits"]
    except UserError:
        return "missing"
    digests = {name: filter(None, (part["identity"], part["concepts"])) for name, part in sorted(splits.items())}
    return " ".join(":".join((name, *parts)) for name, parts in digests.items())


def index(dataset: Source, split: str) -> dict:
    """What each image of a split is: ``files`` (paths below the source's), their ``checksums``, ``labels`` or ``captions``.

    ``labels`` count into ``classes``; ``exact`` says that the store of pixels holds all that the files do. Raises
    :class:`UserError` where the dataset is not prepared or the index was altered.
    """
    return _read(dataset, f"{split}.json", split, "identity")


def concepts(dataset: Source, split: str) -> dict | None:
    """What the images of a split show, if the dataset has captions.

    ``labels`` count into ``names``; -1: no single concept. Kept apart from the index, by whose digest stores know the
    images. Raises as :func:`index`.
    """
    if manifest(dataset)["splits"][split]["concepts"] is None:
        return None
    return _read(dataset, f"concepts-{split}.json", split, "concepts")


def _read(dataset: Source, name: str, split: str, key: str) -> dict:
    """The content of a file whose digest the manifest has as a split's ``key``."""
    content = manifest(dataset)
    path = dataset.folder / name
    try:
        return _verified(path, content["splits"][split][key])
    except (FileNotFoundError, ValueError):
        raise AlteredError(f"{path} is missing or does not match its manifest", repair_hint(dataset, content)) from None


@cache
def _verified(path: Path, digest: str) -> dict:
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != digest:
        raise ValueError("another digest")
    return json.loads(data)


def pixels_plan(dataset: Source, split: str, count: int, identity: str) -> "Plan":
    """The store of a split's decoded pixels, uint8 ``[N, 3, side, side]``.

    Of one's own folder the ``identity`` is that of the listed files, and what was seen of each file lies beside its pixels:
    one pass examines and decodes.
    """
    from bench.data.images import CROP, DECODER, OWN_DECODER
    from bench.kit.array_store.layout import Array, Plan

    facts = {"identity": identity, "decoder": OWN_DECODER if dataset.is_own else DECODER, "crop": dataset.crop and CROP}
    arrays = [Array("pixels", "uint8", (3, dataset.side, dataset.side))]
    if dataset.is_own:
        arrays += [Array("checksum", "uint8", (16,)), Array("size", "int32", (2,)), Array("fault", "uint8", (FAULT,))]
    shard = OWN_SHARD if dataset.is_own else SHARD
    return Plan(dataset.folder / f"pixels-{split}", facts, tuple(arrays), count, shard)


def pixels(dataset: Source, split: str) -> "np.ndarray":
    """All pixels of a split, memory-mapped, their digests verified.

    Raises :class:`UserError` where the dataset is not prepared or was altered.
    """
    from bench.kit.array_store import intact

    content = manifest(dataset)
    part = content["splits"][split]
    plan = pixels_plan(dataset, split, len(index(dataset, split)["files"]), part.get("listed") or part["identity"])
    try:
        if len(intact(plan)) == len(plan.shards):
            return plan.arrays[0].open(plan.folder, plan.rows)
    except ValueError:  # a file that was cut after its last shard
        pass
    raise AlteredError(f"{plan.folder} is incomplete or was altered", repair_hint(dataset, content))


def load(
    dataset: Source, split: str, count: int | None, seed: int, prompts: Callable[[str], Sequence[str]] | None = None
) -> "Split":
    """At most ``count`` images (None: all, memory-mapped) of a split, drawn with ``seed``, in the set's order.

    ``prompts(name)`` are the texts that ask for a concept; a dataset that has concepts needs them. Raises
    :class:`UserError` where the dataset is not prepared or was altered.
    """
    import torch

    from bench.data.split import Split, concepts_of

    content, listed, stored = manifest(dataset), index(dataset, split), pixels(dataset, split)
    name = f"{dataset.name} {split} {content['splits'][split]['identity']}"
    rows = range(len(stored))
    if count is not None and count < len(stored):
        rows = draw(listed.get("labels", [0] * len(stored)), count, seed)
        stored, name = stored[rows], f"{name} {hashlib.sha256(rows.tobytes()).hexdigest()}"
    common = {
        "pixels": torch.from_numpy(stored),
        "files": tuple(dataset.files / listed["files"][row] for row in rows),
        "checksums": tuple(listed["checksums"][row] for row in rows),
        "exact": listed["exact"],
        "repair": repair_hint(dataset, content),
        "identity": name,
    }
    if "labels" in listed:
        labels = torch.tensor([listed["labels"][row] for row in rows])
        return Split(**common, classes=tuple(listed["classes"]), labels=labels)
    if "captions" not in listed:
        return Split(**common)
    texts = [listed["captions"][row] for row in rows]
    owner = torch.repeat_interleave(torch.arange(len(rows)), torch.tensor([len(captions) for captions in texts]))
    flat = tuple(caption for captions in texts for caption in captions)
    shown = concepts(dataset, split)
    drawn = concepts_of(shown["names"], [shown["labels"][row] for row in rows], prompts) if shown else None
    return Split(**common, captions=flat, owner=owner, concepts=drawn)


def draw(labels: list[int], count: int, seed: int) -> "np.ndarray":
    """``count`` rows drawn with ``seed``, ascending (int64); classes differ by one at most while they have images.

    Of two draws with one seed, the smaller is a part of the larger.
    """
    import numpy as np

    order = np.random.default_rng([seed, len(labels)]).permutation(len(labels))
    classes = np.asarray(labels)[order]
    by_class = np.argsort(classes, kind="stable")
    sizes = np.bincount(classes)
    turn = np.empty(len(labels), np.int64)  # how many of its class come before it
    turn[by_class] = np.arange(len(labels)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return np.sort(order[np.argsort(turn, kind="stable")[:count]])
