"""Tables with the images' bytes in a column: parquet files, and Arrow files as ``datasets`` saves them to disk.

Read with pyarrow, an optional package (``uv sync --extra tables``); ``datasets`` itself is not needed.
"""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.data.own.captions import CAPTION_COLUMNS
from bench.data.own.sample import Sample
from bench.kit.errors import UserError

IMAGE_COLUMNS = ("image", "img", "images", "jpg", "png", "image_bytes", "bytes", "picture")
LABEL_COLUMNS = ("label", "labels", "class", "cls", "category", "target", "fine_label", "label_name", "class_name")
ROWS = 64  # of a batch: their images are in memory together


def parquet(path: Path, labelled: bool) -> Iterator[Sample]:
    """The rows of a parquet file; their labels only where the images are ``labelled``."""
    with _pyarrow("parquet").ParquetFile(path) as file:
        yield from _samples(file.schema_arrow, file.iter_batches(ROWS), path, labelled)


def arrow(path: Path, labelled: bool) -> Iterator[Sample]:
    """The rows of an Arrow file: a stream, as ``datasets`` writes it, or a file; labels as of :func:`parquet`."""
    ipc = _pyarrow("ipc")
    with path.open("rb") as file:
        begins = file.read(6)
    with path.open("rb") as file:
        if begins == b"ARROW1":
            opened = ipc.open_file(file)
            batches = (opened.get_batch(number) for number in range(opened.num_record_batches))
        else:
            batches = opened = ipc.open_stream(file)
        yield from _samples(opened.schema, batches, path, labelled)


def _pyarrow(part: str) -> Any:
    """A part of pyarrow."""
    try:
        from importlib import import_module

        return import_module(f"pyarrow.{part}")
    except ModuleNotFoundError:
        raise UserError("needs pyarrow to be read: uv sync --extra tables, or pip install pyarrow") from None


def _samples(schema: Any, batches: Any, path: Path, labelled: bool) -> Iterator[Sample]:
    """The rows that have an image."""
    columns = {name.lower(): name for name in schema.names}
    image, label, text = (
        next((columns[one] for one in wanted if one in columns), None)
        for wanted in (IMAGE_COLUMNS, LABEL_COLUMNS if labelled else (), CAPTION_COLUMNS)
    )
    if image is None:
        raise UserError(f"no column of images: expected {', '.join(IMAGE_COLUMNS)}; it has {', '.join(schema.names)}")
    names = _class_names(schema, label, path) if label else None
    for batch in batches:
        for row in batch.select([name for name in (image, label, text) if name]).to_pylist():
            data, name = _bytes(row[image], path)
            if data is None:
                continue
            captions = row[text] if text else None
            captions = captions if isinstance(captions, list) else [captions]
            yield Sample(
                name or hashlib.sha256(data).hexdigest()[:24],
                data,
                _label(row[label], names, label) if label else None,
                tuple(" ".join(one.split()) for one in captions if isinstance(one, str) and one.strip()),
            )


def _bytes(value: object, path: Path) -> tuple[bytes | None, str]:
    """An image's bytes and the name of its file, of a column of bytes or of ``datasets``' struct of bytes and path."""
    if not isinstance(value, dict):
        if value is not None and not isinstance(value, bytes):
            raise UserError(f"its images are {type(value).__name__}, expected bytes, or a struct of bytes and path")
        return value, ""
    name = value.get("path") or ""
    if value.get("bytes") is None and name:
        return (path.parent / name).read_bytes(), name
    return value.get("bytes"), name


def _label(value: object, names: list[str] | None, column: str) -> str | None:
    """A label's name; None where it is missing. ``datasets`` has -1 for what has no public label, pandas NaN."""
    if isinstance(value, list | dict):
        raise UserError(
            f"its column '{column}' has {value}, and one class an image is expected: keep a single label in it, or say "
            "'labels: none' in the dataset's entry"
        )
    if value is None or value in (-1, "") or value != value:
        return None
    if isinstance(value, float) and value.is_integer():  # whole numbers, of which pandas had one missing
        value = int(value)
    if names and isinstance(value, int) and value < len(names):
        return names[value]
    return str(value)


def _class_names(schema: Any, label: str, path: Path) -> list[str] | None:
    """The names of the labels' numbers, which ``datasets`` keeps in the schema, or beside a file."""
    known = (schema.metadata or {}).get(b"huggingface")
    facts = json.loads(known)["info"] if known else {}
    beside = path.parent / "dataset_info.json"
    if not facts and beside.exists():
        facts = json.loads(beside.read_text(encoding="utf-8"))
    feature = (facts.get("features") or {}).get(label) or {}
    return feature.get("names") if isinstance(feature, dict) else None
