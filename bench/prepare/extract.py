"""Unpacks a folder of packed images (tars, parquet, Arrow) into files, once: what lies there already is left as it is."""

from pathlib import Path

from bench.data.archives import Index
from bench.data.own import packed
from bench.data.own.folder import is_held_out
from bench.data.own.scan import scan
from bench.declared import Images
from bench.kit.errors import UserError
from bench.prepare.origin import Task


def extract(images: Images, to: Path, task: Task) -> Index:
    """The images of all packed files, below ``to``, with their labels or captions by split.

    Images of another form than the first (without its label, or its captions) are left out and counted. Raises
    :class:`UserError` naming a packed file that cannot be read.
    """
    shards = packed.shards(scan(images.path))
    splits = packed.by_split(shards)
    kind = packed.kind(images, shards)
    files: dict[str, list[str]] = {"train": [], "test": []}
    values: dict[str, list] = {"train": [], "test": []}
    left_out = {"in packed files of no split": 0, f"without {_what(kind)}": 0}
    written: set[str] = set()
    with task(f"{images.path}: unpack {len(shards)} files") as advance:
        for done, shard in enumerate(shards, 1):
            split = next((split for split, of in splits.items() if shard in of), None) if splits else None
            for record in packed.records(images, shard):
                if splits and split is None:
                    left_out["in packed files of no split"] += 1
                    continue
                if kind != "images" and record.kind(images.labels) != kind:
                    left_out[f"without {_what(kind)}"] += 1
                    continue
                name = packed.file_of(record, shard)
                name = name if name not in written else f"{Path(name).with_suffix('')}-{len(written)}{record.ending}"
                written.add(name)
                _write(to / name, record.data)
                part = split or ("test" if is_held_out(record.name, images.test) else "train")
                files[part].append(name)
                values[part].append(record.label if kind == "classification" else list(record.captions))
            advance(done, len(shards))
    for name in set(scan.__wrapped__(str(to))) - written:  # of what was packed before
        (to / name).unlink()
    for split, listed in files.items():
        if not listed:
            raise UserError(
                f"{images.path}: none of its {len(written)} images falls to the {split} split; choose another share 'test'"
            )
    counts = {reason: count for reason, count in left_out.items() if count}
    if kind == "images":
        return Index(files, left_out=counts)
    if kind == "captions":
        return Index(files, captions=values, left_out=counts)
    classes = sorted({label for part in values.values() for label in part}, key=_by_number)
    number = {name: place for place, name in enumerate(classes)}
    labels = {split: [number[label] for label in part] for split, part in values.items()}
    return Index(files, labels=labels, classes=classes, left_out=counts)


def _what(kind: str) -> str:
    return {"classification": "a label", "captions": "captions", "images": "images"}[kind]


def _by_number(name: str) -> tuple[bool, int, str]:
    """A key that puts 2 before 10, and numbers before names."""
    return not name.isdecimal(), int(name) if name.isdecimal() else 0, name


def _write(path: Path, data: bytes) -> None:
    """Write a file, unless it is there with the same bytes: then its pixels need not be decoded again."""
    if path.exists() and path.stat().st_size == len(data) and path.read_bytes() == data:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
