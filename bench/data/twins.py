"""Files with the same bytes: an evaluation image that is also a training image, a training image that is there twice.

Tiny ImageNet has 7 of the one kind and 20 of the other, mostly under two labels. Pictures that only look the same count
as different.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # preparing a dataset takes no torch
    from bench.data.split import Split


@dataclass(frozen=True)
class Twins:
    """How many evaluation images are training images, and how many training images repeat an earlier one; how many of
    these have another label there. None where there are no labels."""

    seen: int
    copies: int
    seen_otherwise: int | None = None
    copies_otherwise: int | None = None

    @property
    def text(self) -> str:
        """The evaluation images in words, "" where there are none."""
        if not self.seen:
            return ""
        labels = f", {self.seen_otherwise} of them under another label" if self.seen_otherwise is not None else ""
        return f"{self.seen} evaluation images are byte for byte also training images{labels}"


def count(train: Sequence[str], test: Sequence[str], labels: tuple[Sequence[int], Sequence[int]] | None) -> Twins:
    """Count them by the checksums of the splits' files; ``labels`` are those of both splits."""
    first: dict[str, int] = {}
    of_train = [(row, first.setdefault(checksum, row)) for row, checksum in enumerate(train)]
    copies = [(row, earlier) for row, earlier in of_train if row != earlier]
    seen = [(row, first[checksum]) for row, checksum in enumerate(test) if checksum in first]
    if labels is None:
        return Twins(len(seen), len(copies))
    own, others = labels
    return Twins(
        len(seen),
        len(copies),
        sum(others[row] != own[there] for row, there in seen),
        sum(own[row] != own[earlier] for row, earlier in copies),
    )


def left_out(train: "Split", test: "Split") -> "Split":
    """The training images that neither are evaluation images nor repeat an earlier one, with their captions."""
    import torch

    known, rows = set(test.checksums), []
    for row, checksum in enumerate(train.checksums):
        if checksum not in known:
            known.add(checksum)
            rows.append(row)
    if len(rows) == len(train):
        return train
    kept = torch.tensor(rows)
    parts = {
        "pixels": train.pixels[kept],
        "files": tuple(train.files[row] for row in rows),
        "checksums": tuple(train.checksums[row] for row in rows),
        "identity": f"{train.identity} without twins {len(rows)}",
    }
    if train.labels is not None:
        return replace(train, **parts, labels=train.labels[kept])
    if train.owner is None:
        return replace(train, **parts)
    place = torch.full((len(train),), -1)
    place[kept] = torch.arange(len(rows))
    owner = place[train.owner]
    captions = tuple(text for text, image in zip(train.captions, owner.tolist(), strict=True) if image >= 0)
    return replace(train, **parts, captions=captions, owner=owner[owner >= 0], concepts=None)
