"""Captions in a file beside the images: CSV, JSON lines, or COCO's JSON. An image may have several."""

import csv
import json
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from bench.kit.errors import UserError

FILE_COLUMNS = ("file", "file_name", "filename", "filepath", "file_path", "image", "image_path", "path", "image_name")
CAPTION_COLUMNS = ("caption", "captions", "text", "texts", "title", "description", "sentence", "sentences", "comment")


@dataclass(frozen=True)
class Captions:
    """The captions ``of`` each image by its path, in the images' order, and how many captions are of ``missing`` images."""

    of: dict[str, list[str]]
    missing: int


def read(file: str, names: Collection[str]) -> Captions:
    """The captions of the images ``names``, which the file names by their paths, or by their file names where these differ.

    White space in captions is made single. Raises :class:`UserError` naming the file where it has no captions of them.
    """
    try:
        listed = list(reader(file)(Path(file)))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, csv.Error) as error:
        reason = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        raise UserError(f"{file} is no file of captions that can be read ({reason})") from None
    whole = set(names)
    short: dict[str, str | None] = {}  # None: several images have this name
    for name in names:
        last = PurePosixPath(name).name
        short[last] = None if last in short else name
    of: dict[str, list[str]] = {}
    missing = 0
    for name, text in listed:
        name = str(PurePosixPath(str(name).replace("\\", "/").removeprefix("./")))
        image = name if name in whole else short.get(PurePosixPath(name).name)
        text = " ".join(str(text).split())
        if image is None:
            missing += 1
        elif text:
            of.setdefault(image, []).append(text)
    if not of:
        first = f", the first is {str(listed[0][0])[:60]!r}" if listed else ""
        raise UserError(
            f"{file} names none of the {len(names)} images by their paths or names: it has {len(listed)} captions{first}"
        )
    return Captions({name: of[name] for name in names if name in of}, missing)


def reader(file: str) -> Callable[[Path], Iterator[tuple[str, str]]]:
    """What reads a file of captions. Raises :class:`UserError` where there is no such file, or it is of no known form."""
    readers = {".csv": _csv, ".tsv": _csv, ".jsonl": _json_lines, ".ndjson": _json_lines, ".json": _coco}
    path = Path(file)
    if path.suffix.lower() not in readers:
        raise UserError(f"{file}: captions are read from {', '.join(readers)}, not from '{path.suffix}'")
    if not path.is_file():
        raise UserError(f"{file}: there is no such file of captions")
    return readers[path.suffix.lower()]


def _column(columns: Collection[str], wanted: tuple[str, ...], what: str) -> str:
    """The column that is called one of these."""
    plain = {str(column).strip().lower(): column for column in columns}
    name = next((plain[one] for one in wanted if one in plain), None)
    if name is None:
        raise UserError(
            f"no column of {what}: expected {', '.join(wanted[:6])} ..., got {', '.join(map(str, plain))[:120]}"
        )
    return name


def _csv(path: Path) -> Iterator[tuple[str, str]]:
    """A first line of column names; a line for each caption."""
    with path.open(encoding="utf-8-sig", newline="") as lines:
        start = lines.readline()
        lines.seek(0)
        # Flickr30k's has "|", and commas in the captions.
        delimiter = max("\t|;,", key=lambda each: (start.count(each), each == ","))
        rows = csv.reader(lines, delimiter=delimiter, skipinitialspace=True)
        columns = [name.strip() for name in next(rows, [])]
        file, caption = (columns.index(_column(columns, *each)) for each in _WANTED)
        for row in rows:
            if len(row) > max(file, caption):
                yield row[file].strip(), row[caption]


def _json_lines(path: Path) -> Iterator[tuple[str, str]]:
    """An object in each line; captions may be a list."""
    with path.open(encoding="utf-8-sig") as lines:
        for line in lines:
            if line.strip():
                yield from of_object(json.loads(line))


def of_object(entry: dict) -> Iterator[tuple[str, str]]:
    """The file and each of the captions of an object."""
    file, caption = (entry[_column(entry, *each)] for each in _WANTED)
    for text in caption if isinstance(caption, list) else [caption]:
        yield file, text if isinstance(text, str) else text["raw"]


_WANTED = ((FILE_COLUMNS, "files"), (CAPTION_COLUMNS, "captions"))


def _coco(path: Path) -> Iterator[tuple[str, str]]:
    """COCO's: ``images`` with ids and file names, ``annotations`` with captions; or a list of objects."""
    content = json.loads(path.read_text(encoding="utf-8-sig"))
    if isinstance(content, list):
        for entry in content:
            yield from of_object(entry)
        return
    files = {entry["id"]: entry["file_name"] for entry in content["images"]}
    for entry in content["annotations"]:
        yield files[entry["image_id"]], entry["caption"]
