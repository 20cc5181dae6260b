"""One part for each teacher and dataset: the gain over the controls first, then accuracy, fidelity and cost, folded."""

from collections.abc import Callable
from itertools import pairwise

from bench.controls import CONTROLS, ROWS
from bench.kit.markdown import bold, folded, number, table
from bench.metrics import HEADLINE_TITLES, METRICS, of_group
from bench.report.content import Report, Row, Spread, headline, titles
from bench.report.gains import below_chance, controls_of, gain, gained, leads, shown
from bench.report.paper import publication
from bench.results.record import Record

NEAR = 1.0  # points
PEAK = (
    "Memory MB is of one batch of 64 through all that must run. Peak MB is the most that was held at one time while a case "
    "trained and was measured, after the teacher's pass: on CUDA what PyTorch had allocated on the device, the teacher and "
    "the features there included; on a CPU the resident memory of the whole process, with its libraries, the files that it "
    "maps and what earlier work had not given back. It says what the machine must have. What cases share, such as measuring "
    "the costs, raises the peak of the first of them only, and so do the workspaces that cuDNN tries for each new shape."
)


def section(report: Report) -> str:
    """A part for each teacher and dataset."""
    return "\n\n".join(of_pair(*pair, rows) for pair, rows in report.pairs.items())


def of_pair(dataset: str, teacher: str, rows: list[Row]) -> str:
    """Everything about the students of one teacher on one dataset. ``rows`` are theirs, with those of the controls."""
    students = [row for row in rows if row.case.control is None]
    parts = [f"## {teacher} on {dataset}", _gains(teacher, students, rows)]
    if any(row.done for row in students):
        if _measured(("accuracy",), students):
            parts.append(folded("Accuracy in full (%)", _scores("accuracy", teacher, rows)))
        parts.append(folded("Fidelity to the teacher, on held-out data", _scores("fidelity", None, rows)))
        parts.append(folded("Cost", _costs(teacher, students)))
    return "\n\n".join(parts)


def references(teacher: str, kind: str, rows: list[Row]) -> list[tuple[str, str, str]]:
    """What needs no student, with its accuracy and MB: the teacher itself, one with random weights, and raw pixels."""
    scores = {f"{teacher} itself": _first(rows, None, lambda record: record.teacher)}
    for control in ROWS:
        if control.random_teacher:
            scores[f"random {teacher} itself"] = _first(rows, control.name, lambda record: record.teacher)
    for control in ROWS:
        if control.measured and not (control.gain or control.always):
            scores[control.title] = _first(rows, None, lambda record, name=control.name: record.controls.get(name))
    return [
        (name, number(headline(kind, own)), number(own.get("deployed_mb"), 2)) for name, own in scores.items() if own
    ]


def _gains(teacher: str, students: list[Row], rows: list[Row]) -> str:
    """Accuracy, or what happened, the gain over each control, and sizes, which are the same for all seeds."""
    kind, controls = students[0].case.kind, controls_of(rows)
    seeds = max(len(row.records) for row in students)
    accuracy = f"{HEADLINE_TITLES[kind]} (%)" + (f", n = {seeds}" if seeds > 1 else "")
    first, *others = (f"over {CONTROLS[name].title}" for name in controls)
    header = ["student", "epochs", accuracy, f"gain {first}", *others, "student MB", "deployed MB"]
    lines = [
        [bold(name, name == f"{teacher} itself"), "–", own, *["–"] * (len(header) - 4), deployed]
        for name, own, deployed in references(teacher, kind, rows)
    ]
    for row in students:
        own = bold(shown(row.accuracy()), leads(row, rows)) if row.done else row.state
        own += f" (n = {len(row.done)})" if 0 < len(row.done) < seeds else ""
        over = [gained(gain(row, name, rows)) for name in controls]
        sizes = [number(size and size.mean, 2) for size in map(row.metric, ("size_mb", "deployed_mb"))]
        lines.append([row.name, str(row.case.epochs), own, *over, *sizes])
    return "\n\n".join(filter(None, (table(header, lines), _warning(students, rows))))


def _warning(students: list[Row], rows: list[Row]) -> str:
    """Which controls stand below chance."""
    below = {
        f"{row.name}, {name.replace('-', ' ')} ({accuracy:.1f})": None
        for row in students
        for name, accuracy in below_chance(row, rows).items()
    }
    if not below:
        return ""
    return (
        f"**Controls below chance**: {'; '.join(below)}. A gain over such a control says too much; the summary counts what is "
        "above chance."
    )


def _scores(group: str, teacher: str | None, rows: list[Row]) -> str:
    """Metrics of the teacher, of each student, of its measured controls and of its trained ones."""
    names = _measured((group,), [row for row in rows if row.case.control is None])

    def line(title: str, epochs: int, spreads: list[Spread | None]) -> list[str]:
        return [title, str(epochs), *map(shown, spreads, (METRICS[name].digits for name in names))]

    lines, before = [], set()
    for row in (row for row in rows if row.done):
        for control in (control.name for control in ROWS if control.measured and control.gain):
            spreads = [
                row.over_seeds(lambda one, name=name, of=control: one.controls.get(of, {}).get(name)) for name in names
            ]
            if row.case.control is None and any(spreads) and (row.name, control) not in before:
                before.add((row.name, control))
                lines.append(line(f"{row.name}, {control.replace('-', ' ')}", 0, spreads))
        title = row.name + (f", {row.case.control.replace('-', ' ')}" if row.case.control else "")
        lines.append(line(title, row.case.epochs, [row.metric(name) for name in names]))
    return _below_the_teacher(teacher, rows, names, lines)


def _costs(teacher: str, students: list[Row]) -> str:
    names = _measured(("cost", "training"), students)
    lines = []
    for row in (row for row in students if row.done):
        means = {name: spread and spread.mean for name in names for spread in [row.metric(name)]}
        lines.append([row.name, str(row.case.epochs), *_cells(means, names)])
    costs = _below_the_teacher(teacher, students, names, lines)
    return f"{costs}\n\n{PEAK}" if "peak_memory_mb" in names else costs


def _below_the_teacher(teacher: str | None, rows: list[Row], names: list[str], lines: list[list[str]]) -> str:
    """A table of metrics: those of the teacher itself, unless it is None, and the ``lines``."""
    if teacher and (own := _first(rows, None, lambda record: record.teacher)):
        lines = [[f"**{teacher} itself**", "–", *_cells(own, names)], *lines]
    return table(["student", "epochs", *(METRICS[name].title for name in names)], lines)


def _cells(values: dict[str, float | None], names: list[str]) -> list[str]:
    return [number(values.get(name), METRICS[name].digits) for name in names]


def _measured(groups: tuple[str, ...], rows: list[Row]) -> list[str]:
    """The metrics of some groups that any row has."""
    return [one.name for group in groups for one in of_group(group) if any(row.metric(one.name) for row in rows)]


def _first(rows: list[Row], control: str | None, part: Callable[[Record], dict | None]) -> dict | None:
    """The first finished record's part that is not empty."""
    records = (record for row in rows if row.case.control == control for record in row.done.values())
    return next((own for record in records if (own := part(record))), None)


def further_training(report: Report) -> str:
    """For each student its accuracy after the paper's longest training and after this profile's.

    Whether that helps the paper supposes (5.4) and could not afford to try. Empty where nothing was trained for longer.
    """
    after = publication.paper().epochs[-1]
    lines = [_line(row, after) for row in report.longest if row.case.epochs > after]
    if not lines:
        return ""
    columns = "at the end", "gain", "best on the way", f"within {NEAR:g} point from epoch"
    header = ["student", f"after {after} epochs", *columns]
    return (
        f"## Further training\n\nThe paper stops at {after} epochs and supposes that training to convergence could give more. "
        f"Headline accuracy in percent ({'; '.join(titles(report.rows))}). *Best on the way* is picked on the evaluation "
        f"data, so it is optimistic and no result. *Within {NEAR:g} point from epoch*: the first epoch from which accuracy never "
        f"again falls more than {NEAR:g} point below its final value.\n\n{table(header, lines)}"
    )


def _line(row: Row, after: int) -> list[str]:
    def curve(record: Record) -> dict[int, float]:
        scores = ((entry["epoch"], headline(row.case.kind, entry)) for entry in record.curve)
        return {epoch: score for epoch, score in scores if score is not None}

    def since(record: Record) -> float | None:
        points = curve(record)
        return points[row.case.epochs] - points[after] if after in points else None

    return [
        f"{row.name} of {row.case.teacher} on {row.case.dataset}, {row.case.epochs} epochs",
        shown(row.accuracy_after(after)),
        shown(row.accuracy_after(row.case.epochs)),
        gained(row.over_seeds(since)),
        shown(row.over_seeds(lambda record: max(curve(record).values()))),
        shown(row.over_seeds(lambda record: float(near_the_end(curve(record)))), 0),
    ]


def near_the_end(curve: dict[int, float]) -> int:
    """The first epoch from which on all accuracies, given by their epochs, are at most :data:`NEAR` below the last one."""
    near = 0
    for before, epoch in pairwise(curve):
        if curve[before] < curve[max(curve)] - NEAR:
            near = epoch
    return near
