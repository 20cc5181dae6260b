"""Unpacks a folder of packed images (tars, parquet, Arrow) into files, once: what lies there already is left as it is."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from xxhash import xxh3_128_digest

from bench.data.archives import Index
from bench.data.own import packed
from bench.data.own.folder import is_held_out
from bench.data.own.sample import Sample
from bench.data.own.scan import scan
from bench.declared import Images
from bench.kit.errors import UserError
from bench.prepare.origin import Task

WORDS = {"classification": "a label", "captions": "captions"}  # of kinds of data, for what an image lacks


def extract(images: Images, to: Path, task: Task) -> Index:
    """The images of all packed files, below ``to``, with their labels or captions by split.

    The same image in several rows is one, with the captions of all. Images that lack a label or captions are left out and
    counted. Raises :class:`UserError` naming a packed file that cannot be read, or an image with a label where the first
    ones have none.
    """
    shards = packed.shards(scan(images.path))
    kind = packed.kind(images, shards)
    splits = packed.splits(images, shards, kind)
    files: dict[str, list[str]] = {"train": [], "test": []}
    values: dict[str, list] = {"train": [], "test": []}
    left_out: Counter[str] = Counter()
    written: set[str] = set()
    first: dict[tuple, list[str]] = {}  # an image's captions by its split and its bytes
    with task(f"{images.path}: unpack {len(shards)} files") as advance:
        for done, shard in enumerate(shards, 1):
            for sample in _used(images, shard, splits.get(shard), kind, left_out):
                texts = list(sample.captions)
                same = splits.get(shard), xxh3_128_digest(sample.data)
                if kind == "captions" and (known := first.setdefault(same, texts)) is not texts:
                    known += texts
                    continue
                name = packed.file_of(sample, shard)
                name = name if name not in written else f"{Path(name).with_suffix('')}-{len(written)}{sample.ending}"
                written.add(name)
                _write(to / name, sample.data)
                part = splits.get(shard) or ("test" if is_held_out(sample.name, images.test) else "train")
                files[part].append(name)
                values[part].append(sample.label if kind == "classification" else texts)
            advance(done, len(shards))
    for name in set(scan.__wrapped__(str(to))) - written:  # of what was packed before
        (to / name).unlink()
    for split, listed in files.items():
        if not listed:
            raise UserError(
                f"{images.path}: none of its {len(written)} images falls to the {split} split; choose another share 'test'"
            )
    if kind == "images":
        return Index(files, left_out=dict(left_out))
    if kind == "captions":
        return Index(files, captions=values, left_out=dict(left_out))
    classes = sorted({label for part in values.values() for label in part}, key=_by_number)
    number = {name: place for place, name in enumerate(classes)}
    labels = {split: [number[label] for label in part] for split, part in values.items()}
    return Index(files, labels=labels, classes=classes, left_out=dict(left_out))


def _used(images: Images, shard: str, split: str | None, kind: str, left_out: Counter[str]) -> Iterator[Sample]:
    """The images of a packed file that are used; the others are counted, by the reason."""
    for sample in packed.samples(images, shard):
        if split not in ("train", "test", None):
            left_out[split] += 1
        elif kind == "images" and sample.kind != kind:
            what = WORDS[sample.kind]
            hint = ", or say 'labels: none' in the dataset's entry" if sample.label is not None else ""
            raise UserError(
                f"{images.path}: '{sample.name}' in {shard} has {what}, and the first {packed.LOOKED_AT} images have none: "
                f"give all of them {what}{hint}"
            )
        elif not sample.has(kind):
            left_out[f"without {WORDS[kind]}"] += 1
        else:
            yield sample


def _by_number(name: str) -> tuple[bool, int, str]:
    """A key that puts 2 before 10, and numbers before names."""
    return not name.isdecimal(), int(name) if name.isdecimal() else 0, name


def _write(path: Path, data: bytes) -> None:
    """Write a file, unless it is there with the same bytes: then its pixels need not be decoded again."""
    if path.exists() and path.stat().st_size == len(data) and path.read_bytes() == data:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
