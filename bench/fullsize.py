"""Sizes and MACs of the full-size students and what they need at inference: counted once, then kept.

They follow from the code and the libraries alone, so they are kept beside the runs under a key of both. Reading
them needs no torch: a session that only reuses records stays fast.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import cache
from importlib import metadata

from bench import catalog, paper
from bench.files import write_text
from bench.sealed import seal, unseal

KEPT = catalog.ROOT / "reports" / "runs" / "full-sizes.json"
PIXELS = {"coco": 224, "tiny-imagenet": 64}  # side of the images that resnet and densenet read


@dataclass(frozen=True)
class Deployed:
    """All that must run to embed one image: the student's own MACs, and MB and MACs of everything."""

    student_macs: int
    megabytes: float
    macs: int


@dataclass(frozen=True)
class FullSize:
    """One full-size student for one of the paper's tables; ``deployed`` is by teacher."""

    dataset: str
    student: str
    parameters: int
    size_mb: float
    printed: str | None
    deployed: dict[str, Deployed]


@cache
def full_sizes() -> tuple[FullSize, ...]:
    """Every full-size student for each of the paper's tables."""
    key = _key()
    kept = _read(key)
    if kept is None:
        from bench.measure.count import compute

        kept = compute()
        write_text(KEPT, seal({"key": key, "sizes": [asdict(row) for row in kept]}))
    return tuple(kept)


def paper_sizes() -> list[dict]:
    """The paper's eleven sizes beside ours: dataset, student, parameters, size_mb, paper_mb (MB = 2^20 bytes)."""
    return [
        {
            "dataset": row.dataset,
            "student": row.student,
            "parameters": row.parameters,
            "size_mb": row.size_mb,
            "paper_mb": float(row.printed),
        }
        for row in full_sizes()
        if row.printed
    ]


def _read(key: str) -> list[FullSize] | None:
    try:
        content = unseal(KEPT.read_text(encoding="utf-8"))
        if content["key"] != key:
            return None
        return [
            FullSize(**row | {"deployed": {name: Deployed(**cost) for name, cost in row["deployed"].items()}})
            for row in content["sizes"]
        ]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None  # not there, or not usable: it is counted again


def _key() -> str:
    """Changes with everything that the counts depend on."""
    digest = hashlib.sha256(json.dumps([str(table) for table in paper.tables()] + [str(PIXELS)]).encode())
    for folder in ("students", "teachers", "bench/measure"):
        for file in sorted((catalog.ROOT / folder).glob("*.py")):
            digest.update(file.name.encode() + file.read_bytes())
    for package in ("torch", "timm", "open_clip_torch", "transformers"):
        digest.update(metadata.version(package).encode())
    return digest.hexdigest()
