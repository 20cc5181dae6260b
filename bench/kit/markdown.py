"""How numbers, tables and text are written in Markdown, and tables for a terminal."""

import re
from collections.abc import Collection, Iterable, Sequence
from io import StringIO


def number(value: float | None, digits: int | None = 1, sign: str = "") -> str:
    """A number with fixed decimals and a true minus (zero has none), or without ``digits`` as a count; a dash for None."""
    if value is None:
        return "–"
    return count(value) if digits is None else f"{value:{sign}z,.{digits}f}".replace("-", "−")


def bold(text: str, really: bool) -> str:
    """``text``, bold where it is to be."""
    return f"**{text}**" if really else text


def count(value: float | None) -> str:
    """A large count with its unit: 12.3 k, 4.56 M, 1.82 G."""
    if value is None:
        return "–"
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:.0f}"


def counted(number: int, noun: str) -> str:
    """A number of things: 1 run, 2 runs."""
    return f"{number:,} {noun}" + "s" * (number != 1)


def gigabytes(count: int) -> str:
    """A size as a person reads it; 1 GB is 10^9 bytes."""
    return f"{count / 1e9:.2f} GB" if count >= 1e7 else f"{count / 1e6:.2f} MB"


def duration(seconds: float) -> str:
    """About how long something takes: 40 s, 12.5 min, 3.1 h."""
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s" if seconds >= 1 else "less than a second"


def table(header: list[str], rows: list[list[str]], text: Collection[int] = (0,)) -> str:
    """A Markdown table: the columns in ``text`` are words and stand left, the others are figures and stand right."""
    rule = "|".join(":--" if column in text else "--:" for column in range(len(header)))
    lines = ["| " + " | ".join(header) + " |", f"|{rule}|"]
    return "\n".join(
        lines + ["| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in row) + " |" for row in rows]
    )


def plain_table(header: Sequence[str], rows: Iterable[Sequence[str]], text: Collection[int] = (0,)) -> str:
    """The same for a terminal. Nothing in a cell is markup: names and messages come from files."""
    from rich.console import Console
    from rich.table import Table

    drawn, drawing = StringIO(), Table(box=None, pad_edge=False)
    for column, title in enumerate(header):
        drawing.add_column(title, justify="left" if column in text else "right", no_wrap=True)
    for row in rows:
        drawing.add_row(*row)
    Console(file=drawn, width=10_000, markup=False, emoji=False, highlight=False).print(drawing)
    return "\n".join(line.rstrip() for line in drawn.getvalue().splitlines())


def folded(title: str, text: str) -> str:
    """A part that a reader opens."""
    return f"<details><summary>{title}</summary>\n\n{text}\n\n</details>"


def literal(text: str) -> str:
    """Text from outside, such as an error's message, so that Markdown and HTML show it as it is, in one line."""
    return re.sub(r"([\\`*_{}\[\]<>#~&])", r"\\\1", " ".join(text.split()))
