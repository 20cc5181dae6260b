"""The leaderboard of contributed results: a table for each data set, as Markdown and CSV.

An entry is a student with its recipe over the seeds of one run. It leads where it has three seeds or more and is better, at
p < 0.05 by Welch's two-sided t-test, than the entry that led before it; runs count in the order in which they were
made, and of each the best entry stands for the lead. The first to have three seeds leads until another one does.
"""

import csv
import io
from collections.abc import Iterable
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from statistics import mean, stdev

from bench.kit.files import write_text
from bench.kit.markdown import number, table
from bench.metrics import HEADLINE, HEADLINE_TITLES
from bench.plan.case import Case
from bench.plan.schema import Training
from bench.results.contributed import Line

SEEDS, LEVEL = 3, 0.05
# What a recipe may change, and what the paper's has: schedule, averaging, views.
USUAL = {
    field.name: field.default
    for field in fields(Case)
    if field.name in Training.model_fields and field.default is not MISSING
}
MARKDOWN, CSV = "README.md", "leaderboard.csv"
HEADER = ("student", "accuracy (%)", "seeds", "p to the leader", "deployed MB", "loss", "epochs", "teacher", "run")
WORDS = (0, 5, 7, 8)  # its columns; the others are figures
COLUMNS = ("dataset", "train_images", "test_images", "alone", "leads", *HEADER, "deviation")


@dataclass(frozen=True)
class Entry:
    """A student with its recipe over the seeds of one run; ``lines`` are by seed."""

    run: str
    lines: dict[int, Line]

    @property
    def first(self) -> Line:
        return next(iter(self.lines.values()))

    @property
    def name(self) -> str:
        """The student, the library's model that it is, whether it is a control, and how its recipe differs from the paper's."""
        recipe, student = self.first.recipe, self.first.student
        if (model := recipe.get("student_model")) and model["name"] != student:
            student += f" ({model['name']})"
        control = [recipe["control"].replace("-", " ")] if recipe["control"] else []
        otherwise = [f"{name} {recipe[name]}" for name, usual in USUAL.items() if recipe.get(name, usual) != usual]
        return ", ".join([student, *control, *otherwise])

    @property
    def accuracies(self) -> list[float]:
        """In percent, a seed each: the headline of its kind of data."""
        return [mean(line.figures[name] for name in HEADLINE[line.kind]) for line in self.lines.values()]

    @property
    def mean(self) -> float:
        return mean(self.accuracies)

    @property
    def deviation(self) -> float | None:
        return stdev(self.accuracies) if len(self.lines) > 1 else None

    @property
    def deployed_mb(self) -> float | None:
        """Not measured of a control, which runs as its student does."""
        return self.first.figures.get("deployed_mb")


@dataclass(frozen=True)
class Board:
    """Comparable entries, the best first, and the one that leads. ``alone``: the students replace their teachers."""

    dataset: str
    kind: str
    train: int
    test: int
    alone: bool
    entries: tuple[Entry, ...]
    leader: Entry | None


def boards(runs: dict[str, list[Line]]) -> list[Board]:
    """The boards of all runs' lines; controls with a random teacher compete for nothing."""
    groups: dict[tuple, dict[tuple, Entry]] = {}
    for run, lines in sorted(runs.items(), key=lambda item: min(line.started for line in item[1])):
        for line in lines:
            if line.recipe["control"] == "random-teacher":
                continue
            board = line.dataset, line.kind, line.images["train"], line.images["test"], line.reads == "pixels"
            groups.setdefault(board, {}).setdefault(_cell(run, line), Entry(run, {})).lines[line.seed] = line
    made = []
    for key, cells in sorted(groups.items()):
        entries = [*cells.values()]
        made.append(Board(*key, tuple(sorted(entries, key=lambda one: -one.mean)), leader(entries)))
    return made


def _cell(run: str, line: Line) -> tuple:
    """What the seeds of an entry have in common."""
    # What learns labels from pixels alone is the same beside whatever teacher.
    is_alone = line.recipe["control"] and line.reads == "pixels" and line.kind == "classification"
    recipe = {name: value for name, value in line.recipe.items() if name != "controls"}
    return run, None if is_alone else line.teacher, line.student, repr(sorted(recipe.items()))


def leader(entries: Iterable[Entry]) -> Entry | None:
    """The entry that leads, of entries in the order of their runs; None where none has enough seeds."""
    best: dict[str, Entry] = {}
    for entry in entries:
        if len(entry.lines) >= SEEDS:
            best[entry.run] = max(best.get(entry.run, entry), entry, key=lambda one: one.mean)
    first, *later = [*best.values()] or [None]
    for challenger in later:
        if challenger.mean > first.mean and _p(challenger, first) < LEVEL:
            first = challenger
    return first


def welch(these: list[float], those: list[float], step: float) -> float | None:
    """The p-value of Welch's two-sided t-test; None where a side has one value.

    Seeds that happen to agree know an accuracy no better than a number that is rounded to the ``step``, as in reports.
    """
    from scipy.stats import ttest_ind_from_stats

    if min(len(these), len(those)) < 2:
        return None
    one, other = ((mean(side), max(stdev(side), step / 12**0.5), len(side)) for side in (these, those))
    return float(ttest_ind_from_stats(*one, *other, equal_var=False).pvalue)


def write(runs: dict[str, list[Line]], folder: Path) -> list[Path]:
    """Write the leaderboard as Markdown and CSV into ``folder``; returns the files."""
    for name, text in _texts(runs).items():
        write_text(folder / name, text)
    return [folder / name for name in (MARKDOWN, CSV)]


def stale(runs: dict[str, list[Line]], folder: Path) -> list[str]:
    """An error message for each file of the leaderboard that is not what the runs make it."""
    return [
        f"{name} is not what the runs beside it make of it; renew it with: python -m bench results table"
        for name, text in _texts(runs).items()
        if not (folder / name).exists() or (folder / name).read_text("utf-8") != text
    ]


def _texts(runs: dict[str, list[Line]]) -> dict[str, str]:
    made = boards(runs)
    return {MARKDOWN: markdown(made), CSV: as_csv(made)}


def markdown(made: list[Board]) -> str:
    """The page that a reader of the folder sees."""
    parts = [
        "# Leaderboard",
        "Made by `python -m bench results table` of the runs in this folder; "
        "[docs/results.md](../docs/results.md#contribute-results) says how to add one.",
        f"**Leads**: at least {SEEDS} seeds, and better than what led before at p < {LEVEL} (Welch). "
        "± is the standard deviation over seeds, p that of a difference to the leader. "
        "Deployed is all that must run to embed an image.",
    ]
    for board in made:
        which = "students that replace their teacher" if board.alone else "heads on a teacher, which runs as well"
        parts.append(f"## {board.dataset}: {which}")
        parts.append(f"{HEADLINE_TITLES[board.kind]}; {board.train:,} training and {board.test:,} test images.")
        rows = [_cells(entry, board.leader) for entry in board.entries]
        parts.append(table([*HEADER], rows, WORDS))
    return "\n\n".join(parts) + "\n"


def _cells(entry: Entry, first: Entry | None) -> list[str]:
    figures = number(entry.mean) + (f" ± {entry.deviation:.1f}" if entry.deviation is not None else "")
    name = f"**{entry.name}** (leads)" if entry is first else entry.name
    p = _p(entry, first)
    shown = number(None) if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"
    line = entry.first
    return [
        name, figures, str(len(entry.lines)), shown, number(entry.deployed_mb, 2), line.recipe["loss"],
        str(line.recipe["epochs"]), line.teacher, entry.run,
    ]  # fmt: skip


def _p(entry: Entry, first: Entry | None) -> float | None:
    if first is None or entry is first:
        return None
    return welch(entry.accuracies, first.accuracies, 100 / first.first.images["test"])


def as_csv(made: list[Board]) -> str:
    """A line an entry, with a header; figures as exact as they are."""
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(COLUMNS)
    for board in made:
        for entry in board.entries:
            line = entry.first
            lines.writerow([
                board.dataset, board.train, board.test, board.alone, entry is board.leader, entry.name, entry.mean,
                len(entry.lines), _p(entry, board.leader), entry.deployed_mb, line.recipe["loss"], line.recipe["epochs"],
                line.teacher, entry.run, entry.deviation,
            ])  # fmt: skip
    return text.getvalue()
