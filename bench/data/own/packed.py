"""Images packed into files with their labels or captions: WebDataset's tars, parquet, Arrow as ``datasets`` saves to disk.

They are unpacked once into the data folder, by :mod:`bench.prepare.extract`; all else reads files. Needs no torch.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from bench.data.own import tables, tars
from bench.data.own.record import Record
from bench.data.own.scan import IMAGES, ending
from bench.declared import Images
from bench.kit.errors import UserError

READERS = {".tar": tars.records, ".parquet": tables.parquet, ".arrow": tables.arrow}
SPLITS = {
    "train": re.compile(r"(^|[/_-])train(ing)?([/._-]|\d|$)", re.IGNORECASE),
    "test": re.compile(r"(^|[/_-])test(ing)?([/._-]|\d|$)", re.IGNORECASE),
    "val": re.compile(r"(^|[/_-])val(id|idation)?([/._-]|\d|$)", re.IGNORECASE),
}


def shards(names: Iterable[str]) -> list[str]:
    """The packed files among those of a folder."""
    return [name for name in names if ending(name) in READERS]


def records(images: Images, shard: str) -> Iterator[Record]:
    """What a packed file holds. Raises :class:`UserError` naming it where it cannot be read."""
    path = Path(images.path) / shard
    try:
        yield from READERS[ending(shard)](path)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    except (OSError, ValueError, EOFError) as error:  # pyarrow's errors and tarfile's are of these
        raise UserError(f"{path} cannot be read ({type(error).__name__}: {error})") from None


def kind(images: Images, shards: list[str]) -> str:
    """The kind of data, by the first image of the first packed file that has one."""
    for shard in shards:
        for record in records(images, shard):
            return record.kind(images.labels)
    raise UserError(f"{images.path}: its {len(shards)} packed files ({shards[0]}, ...) hold no images")


def by_split(shards: Iterable[str]) -> dict[str, list[str]] | None:
    """The packed files of train and of test (or val) by their names; None where these do not say."""
    of = {split: [shard for shard in shards if form.search(shard)] for split, form in SPLITS.items()}
    test = of["test"] or of["val"]
    return {"train": of["train"], "test": test} if of["train"] and test else None


def file_of(record: Record, shard: str) -> str:
    """The path that a record's image is unpacked to, below the folder of all of them."""
    name = record.name.removesuffix(ending(record.name)) if ending(record.name) in IMAGES else record.name
    own = re.sub(r"[^\w.-]+", "_", name)
    if own != name or len(own) > 150 or own.startswith("."):
        own = (
            f"{own.strip('._')[:60]}-{hashlib.sha256(record.name.encode('utf-8', 'surrogateescape')).hexdigest()[:12]}"
        )
    return f"{shard.removesuffix(ending(shard))}/{own}{record.ending}"
