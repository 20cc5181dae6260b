"""Images packed into files with their labels or captions: WebDataset's tars, parquet, Arrow as ``datasets`` saves to disk.

They are unpacked once into the data folder, by :mod:`bench.prepare.extract`; all else reads files. Needs no torch.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path

from bench.data.own import tables, tars
from bench.data.own.sample import Sample
from bench.data.own.scan import IMAGES, ending
from bench.declared import Images
from bench.kit.errors import UserError

READERS = {".tar": tars.samples, ".parquet": tables.parquet, ".arrow": tables.arrow}
SPLITS = {
    "train": re.compile(r"(^|[/_-])train(ing)?([/._-]|\d|$)", re.IGNORECASE),
    "test": re.compile(r"(^|[/_-])test(ing)?([/._-]|\d|$)", re.IGNORECASE),
    "val": re.compile(r"(^|[/_-])val(id|idation)?([/._-]|\d|$)", re.IGNORECASE),
}
LOOKED_AT = 100  # images of a split that decide what kind of data it is: the first may lack its label


def shards(names: Iterable[str]) -> list[str]:
    """The packed files among those of a folder."""
    return [name for name in names if ending(name) in READERS]


def samples(images: Images, shard: str) -> Iterator[Sample]:
    """What a packed file holds. Raises :class:`UserError` naming it where it cannot be read or an image has several labels."""
    path = Path(images.path) / shard
    try:
        yield from READERS[ending(shard)](path, images.labels != "none")
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    except (OSError, ValueError, EOFError) as error:  # pyarrow's errors and tarfile's are of these
        raise UserError(f"{path} cannot be read ({type(error).__name__}: {error})") from None


def kind(images: Images, shards: list[str]) -> str:
    """The kind of data, by the first images of train, or of all packed files where their names state no splits."""
    if first := _kind(images, by_name(shards).get("train", shards)):
        return first
    raise UserError(f"{images.path}: its {len(shards)} packed files ({shards[0]}, ...) hold no images")


def _kind(images: Images, shards: Iterable[str]) -> str | None:
    """The first kind other than "images" among the first images of some packed files; None where these hold no images."""
    looked_at = islice(chain.from_iterable(samples(images, shard) for shard in shards), LOOKED_AT)
    first = None
    for first in (sample.kind for sample in looked_at):
        if first != "images":
            break
    return first


def by_name(shards: Iterable[str]) -> dict[str, list[str]]:
    """The packed files of train, test and val by their names; empty where these do not say."""
    of = {split: [shard for shard in shards if form.search(shard)] for split, form in SPLITS.items()}
    return of if of["train"] and (of["test"] or of["val"]) else {}


def splits(images: Images, shards: Sequence[str], kind: str) -> dict[str, str]:
    """Whether each packed file is of "train" or "test", or why it is of neither; those that are missing here say nothing.

    Held out is the test split, or else val where test lacks the labels or captions that train has: published test sets often
    do. Where both lack them, a share of train is held out by the images' names.
    """
    of = by_name(shards)
    usable = [name for name in ("test", "val") if of.get(name) and kind in ("images", _kind(images, of[name]))]
    held_out = usable[0] if usable else "a share of train"
    what = {"classification": "labels"}.get(kind, kind)
    parts = {}
    for shard in shards if of else ():
        split = next((split for split, form in SPLITS.items() if form.search(shard)), None)
        if split == held_out:
            parts[shard] = "test"
        elif split is None:
            parts[shard] = "in packed files of no split"
        elif split != "train":
            parts[shard] = f"of {split}{'' if split in usable else f', which has no {what}'}: {held_out} is held out"
        elif usable:
            parts[shard] = "train"
    return parts


def file_of(sample: Sample, shard: str) -> str:
    """The path that a sample's image is unpacked to, below the folder of all of them."""
    name = sample.name.removesuffix(ending(sample.name)) if ending(sample.name) in IMAGES else sample.name
    own = re.sub(r"[^\w.-]+", "_", name)
    if own != name or len(own) > 150 or own.startswith("."):
        own = (
            f"{own.strip('._')[:60]}-{hashlib.sha256(sample.name.encode('utf-8', 'surrogateescape')).hexdigest()[:12]}"
        )
    return f"{shard.removesuffix(ending(shard))}/{own}{sample.ending}"
