"""What a prepared dataset is made of: its official archives, and which of their files are images of what."""

from dataclasses import dataclass

LONGEST_NAME_BYTES = 255  # of a file, on all common file systems


def is_file_name(name: object) -> bool:
    """Whether a list of a dataset's images names a file: in no other folder, and one that a disk can hold."""
    if not isinstance(name, str) or name in ("", ".", "..") or not name.isprintable():
        return False
    return {"/", "\\"}.isdisjoint(name) and len(name.encode()) <= LONGEST_NAME_BYTES


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
