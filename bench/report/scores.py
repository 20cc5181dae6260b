"""What reports say about a record: its headline accuracy and how numbers, tables and text are written."""

import re
from collections.abc import Collection

from bench.case import Case
from bench.record import Record

Chosen = list[tuple[Case, Record | None]]
HEADLINE = {"classification": "k-NN top-1", "captions": "R@1, mean of both directions"}


def is_done(found: Record | None) -> bool:
    """Whether there is a result."""
    return found is not None and found.status == "done"


def headline(kind: str, scores: dict) -> float | None:
    """The accuracy in percent that a report leads with: k-NN top-1, or the mean of recall@1 in both directions."""
    if kind == "classification":
        return scores.get("knn_top1")
    both = [scores.get("image_to_text_r1"), scores.get("text_to_image_r1")]
    return None if None in both else sum(both) / 2


def status(found: Record | None) -> str:
    """A record's state in words that stand in a table's cell."""
    words = {
        "oom": "out of memory",
        "timeout": "timed out",
        "crashed": "crashed",
        "failed": "failed",
        "skipped": "skipped",
    }
    return "not run" if found is None else words.get(found.status, found.status)


def number(value: float | None, digits: int = 1) -> str:
    """A number with fixed decimals, or a dash where there is none."""
    return "–" if value is None else f"{value:,.{digits}f}"


def count(value: float | None) -> str:
    """A large count with its unit: 12.3 k, 4.56 M, 1.82 G."""
    if value is None:
        return "–"
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:.0f}"


def table(header: list[str], rows: list[list[str]], text: Collection[int] = (0,)) -> str:
    """A Markdown table: the columns in ``text`` are words and stand left, the others are figures and stand right."""
    rule = "|".join(":--" if column in text else "--:" for column in range(len(header)))
    lines = ["| " + " | ".join(header) + " |", f"|{rule}|"]
    return "\n".join(
        lines + ["| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in row) + " |" for row in rows]
    )


def folded(title: str, text: str) -> str:
    """A part that a reader opens."""
    return f"<details><summary>{title}</summary>\n\n{text}\n\n</details>"


def literal(text: str) -> str:
    """Text from outside, such as an error's message, so that Markdown and HTML show it as it is, in one line."""
    return re.sub(r"([\\`*_{}\[\]<>#~&])", r"\\\1", " ".join(text.split()))
