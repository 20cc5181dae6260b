"""Reads a prepared dataset: its manifest without torch, its splits with memory-mapped pixels."""

import json
from functools import cache
from pathlib import Path

from bench import catalog, places
from bench.located import LocatedError

PARTS = ("format", "subset", "classes", "splits", "skipped", "left_out")


def is_prepared_kind(dataset: str) -> bool:
    """Whether the dataset consists of files that must be prepared, as opposed to drawn ones."""
    return catalog.constant("dataset", dataset, "PREPARED")


def manifest(dataset: str) -> dict:
    """What was prepared of a dataset. Raises :class:`LocatedError` with the command that prepares it."""
    path = places.data_folder() / dataset / "manifest.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise LocatedError(
            f"{dataset} is not prepared in {places.shown(places.data_folder())}; prepare it with: "
            f"python -m bench prepare {dataset}, or name the place where it is with --data DIR"
        ) from None
    except ValueError as error:
        raise LocatedError(f"{path} is damaged ({error}); write it again: python -m bench prepare {dataset}") from None
    if not isinstance(content, dict) or any(part not in content for part in PARTS):
        raise LocatedError(f"{path} is incomplete; delete it and run: python -m bench prepare {dataset}")
    return content


def identity(dataset: str) -> str:
    """What the dataset consists of, as a digest; "missing" where it is not prepared."""
    try:
        splits = manifest(dataset)["splits"]
    except LocatedError:
        return "missing"
    return " ".join(f"{name}:{part['identity']}" for name, part in sorted(splits.items()))


@cache
def _index(path: Path, identity: str) -> dict:
    import hashlib

    text = path.read_text(encoding="utf-8")
    if hashlib.sha256(text.encode()).hexdigest() != identity:
        raise LocatedError(f"{path} does not match its manifest; delete manifest.json and prepare the dataset again")
    return json.loads(text)


def load(dataset: str, split: str, count: int | None, seed: int):
    """A :class:`~bench.data.Split` of at most ``count`` images (None: all), drawn with ``seed``, in the set's order.

    Raises :class:`LocatedError` where the dataset is not prepared or was altered.
    """
    import numpy as np
    import torch

    from bench.data import Split
    from bench.prepare import pixels_plan
    from bench.store import fill

    module = __import__(f"bench.data.{dataset.replace('-', '_')}", fromlist=["SIDE"])
    folder, content = places.data_folder() / dataset, manifest(dataset)
    part = content["splits"][split]
    listed = _index(folder / f"{split}.json", part["identity"])
    plan = pixels_plan(folder, split, part["images"], module.SIDE, module.CROP, part["identity"])
    pixels = fill(plan, _refuse(dataset))[0]["pixels"]
    total = part["images"]
    rows = np.arange(total)
    if count is not None and count < total:
        rows = np.sort(np.random.default_rng([seed, total]).permutation(total)[:count])
        pixels = pixels[rows]
    files = tuple(folder / "files" / listed["files"][row] for row in rows)
    name = f"{dataset} {split} {part['identity']}"
    common = {
        "pixels": torch.from_numpy(pixels),
        "files": files,
        "identity": name if len(rows) == total else f"{name} {seed} {count}",
    }
    if "labels" in listed:
        labels = torch.tensor([listed["labels"][row] for row in rows])
        return Split(**common, classes=tuple(content["classes"]), labels=labels)
    texts = [listed["captions"][row] for row in rows]
    owner = torch.repeat_interleave(torch.arange(len(rows)), torch.tensor([len(told) for told in texts]))
    return Split(**common, captions=tuple(caption for told in texts for caption in told), owner=owner)


def _refuse(dataset: str):
    def produce(shards):
        raise LocatedError(
            f"the decoded pixels of {dataset} are incomplete or damaged; repair them: delete its manifest.json and run "
            f"python -m bench prepare {dataset} with the options of the first time"
        )

    return produce
