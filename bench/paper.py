"""The paper's printed numbers, from reports/paper.yaml."""

from dataclasses import dataclass
from functools import cache

import yaml

from bench import catalog


@dataclass(frozen=True)
class Table:
    """One of the paper's two tables. ``size_mb[student]`` and ``accuracy[epochs][teacher][student]`` are as printed."""

    title: str
    dataset: str
    kind: str
    features: int
    teachers: list[str]
    students: list[str]
    size_mb: dict[str, str]
    accuracy: dict[int, dict[str, dict[str, str]]]


@cache
def _content() -> dict:
    return yaml.safe_load((catalog.ROOT / "reports" / "paper.yaml").read_text(encoding="utf-8"))


def tables() -> list[Table]:
    """Both tables, in the paper's order."""
    return [Table(**table) for table in _content()["tables"]]


def columns() -> dict[str, str]:
    """The paper's column heading of each student."""
    return _content()["columns"]
