"""Sizes and MACs of the full-size students and what they need at inference: counted once, then kept.

They follow from the code and the libraries alone, so they are kept beside the runs under a key of both. Reading
them needs no torch: a session that only reuses records stays fast.
"""

import hashlib
import json
from functools import cache
from importlib import metadata

from bench.kit.files import seal, unseal, write_text
from bench.kit.paths import ROOT
from bench.report.paper import publication

KEPT = ROOT / "reports" / "runs" / "full-sizes.json"


@cache
def full_sizes() -> list[dict]:
    """Every full-size student for each of the paper's tables: ``dataset``, ``student``, the size that is ``printed`` or
    None, and what :func:`bench.measure.cost.full_size` counts."""
    key = _key()
    try:
        kept = unseal(KEPT.read_text(encoding="utf-8"))
        if kept["key"] == key:
            return kept["sizes"]
    except (OSError, ValueError, KeyError):
        pass  # missing or damaged: counted anew
    from bench.measure.cost import full_size

    rows = [
        {"dataset": table.dataset, "student": student, "printed": table.size_mb.get(student)}
        | full_size(table.dataset, table.kind, student, table.features, table.teachers)
        for table in publication.paper().tables
        for student in table.students
    ]
    write_text(KEPT, seal({"key": key, "sizes": rows}))
    return rows


def paper_sizes() -> list[dict]:
    """The paper's eleven sizes beside ours: dataset, student, parameters, size_mb, paper_mb (MB = 2^20 bytes)."""
    names = "dataset", "student", "parameters", "size_mb"
    return [
        {name: row[name] for name in names} | {"paper_mb": float(row["printed"])}
        for row in full_sizes()
        if row["printed"]
    ]


def _key() -> str:
    """Changes with everything that the counts depend on."""
    digest = hashlib.sha256(json.dumps([str(table) for table in publication.paper().tables]).encode())
    for folder in ("students", "teachers", "bench/measure"):
        for file in sorted((ROOT / folder).glob("*.py")):
            digest.update(file.name.encode() + file.read_bytes())
    for package in ("torch", "timm", "open_clip_torch", "transformers"):
        digest.update(metadata.version(package).encode())
    return digest.hexdigest()
