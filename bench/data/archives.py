"""What a prepared dataset is made of: its official archives, and which of their files are images of what."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

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
    """An official archive, a ZIP file of pictures or text; ``checksum`` is "algorithm:hex".

    ``folder`` is the one that it unpacks to. With ``marker``, a file in it, it is known under other names, too.
    """

    url: str
    bytes: int
    checksum: str
    folder: str
    marker: str | None = None

    @property
    def name(self) -> str:
        return self.url.rpartition("/")[2]

    @property
    def largest_bytes(self) -> int:
        """What it may hold unpacked: pictures hardly shrink, and there is not much text beside them."""
        return 2 * self.bytes + 2 * 10**9


@dataclass(frozen=True)
class Index:
    """What a dataset's files are: by split the images (paths under ``files/``) and, for each, its label or captions.

    ``concepts`` are names by split, and which of them each image shows (-1: no single one). ``left_out`` counts images that
    the archives hold and the benchmark does not use, by reason.
    """

    files: dict[str, list[str]]
    labels: dict[str, list[int]] = field(default_factory=dict)
    captions: dict[str, list[list[str]]] = field(default_factory=dict)
    concepts: dict[str, tuple[list[str], list[int]]] = field(default_factory=dict)
    classes: list[str] = field(default_factory=list)
    left_out: dict[str, int] = field(default_factory=dict)

    def among(self, names: Collection[str]) -> "Index":
        """The images whose files are among ``names``; the others are left out and counted."""
        rows = {split: [row for row, file in enumerate(files) if file in names] for split, files in self.files.items()}
        missing = sum(len(files) - len(rows[split]) for split, files in self.files.items())

        def kept(lists: Mapping[str, Sequence]) -> dict[str, list]:
            return {split: [values[row] for row in rows[split]] for split, values in lists.items()}

        labels = kept({split: labels for split, (_, labels) in self.concepts.items()})
        return replace(
            self,
            files=kept(self.files),
            labels=kept(self.labels),
            captions=kept(self.captions),
            concepts={split: (titles, labels[split]) for split, (titles, _) in self.concepts.items()},
            left_out=self.left_out | ({"not in the archives": missing} if missing else {}),
        )
