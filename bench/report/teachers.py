"""One section for each teacher and dataset: the gain over the controls first, then accuracy, fidelity and cost, folded."""

from bench.controls import CONTROLS
from bench.kit.markdown import bold, count, folded, number, table
from bench.metrics import METRICS, of_group
from bench.report.gains import controls_of, gained, gains, leads, shown
from bench.report.results import HEADLINE_TITLES, headline
from bench.report.seeds import Row, Spread
from bench.results.record import Record

PEAK = (
    "Memory MB is of one batch of 64 through all that must run. Peak MB is the most that was held at one time while a case "
    "trained and was measured, after the teacher's pass: on CUDA what PyTorch had allocated on the device, the teacher and "
    "the features there included; on a CPU the resident memory of the whole process, with its libraries, the files that it "
    "maps and what earlier work had not given back. It says what the machine must have, and is no property of the student "
    "alone: what cases share, such as measuring the costs, raises the peak of the first of them only, "
    "and so do the workspaces that cuDNN tries for each new shape."
)


def section(dataset: str, teacher: str, rows: list[Row]) -> str:
    """Everything about the students of one teacher on one dataset. ``rows`` are theirs, with those of the controls."""
    students = [row for row in rows if row.case.control is None]
    tables = [f"## {teacher} on {dataset}", _gains(teacher, students, rows)]
    if any(row.done for row in students):
        names = _measured("accuracy", students)
        tables += [
            folded("Accuracy in full (%)", _metrics(names, teacher, rows)),
            folded("Fidelity to the teacher, on held-out data", _metrics(_measured("fidelity", students), None, rows)),
            folded("Cost", _costs(teacher, students)),
        ]
    return "\n\n".join(tables)


def _gains(teacher: str, students: list[Row], rows: list[Row]) -> str:
    """Accuracy, and the gain over each control."""
    kind, controls = students[0].case.kind, controls_of(rows)
    seeds = max(len(row.found) for row in students)
    title = f"{HEADLINE_TITLES[kind]} (%)" + (f", n = {seeds}" if seeds > 1 else "")
    first, *others = (f"over {CONTROLS[name].title}" for name in controls)
    header = ["student", "epochs", title, f"gain {first}", *others, "student MB", "deployed MB"]
    lines = [
        [bold(name, name == f"{teacher} itself"), "–", accuracy, *["–"] * (len(header) - 4), deployed]
        for name, accuracy, deployed in references(teacher, kind, rows)
    ]
    return table(header, lines + [_line(row, rows, controls, seeds) for row in students])


def _line(row: Row, among: list[Row], controls: list[str], seeds: int) -> list[str]:
    """A student's accuracy, or what happened, its gains, and its sizes, which are the same for all seeds."""
    accuracy = bold(shown(row.accuracy()), leads(row, among)) if row.done else row.state
    if 0 < len(row.done) < seeds:
        accuracy += f" (n = {len(row.done)})"
    over = gains(row, among)
    sizes = [row.metric(name) for name in ("size_mb", "deployed_mb")]
    return [
        row.name, str(row.case.epochs), accuracy, *(gained(over[name]) for name in controls),
        *(number(size and size.mean, 2) for size in sizes),
    ]  # fmt: skip


def references(teacher: str, kind: str, rows: list[Row]) -> list[tuple[str, str, str]]:
    """What needs no student, with its accuracy and MB: the teacher itself, one with random weights, and raw pixels."""
    found = [(f"{teacher} itself", _first(rows, None, lambda one: one.teacher))]
    found.append((f"random {teacher} itself", _first(rows, "random-teacher", lambda one: one.teacher)))
    found.append(("raw pixels", _first(rows, None, lambda one: one.controls.get("raw-pixels"))))
    return [
        (name, number(headline(kind, scores)), number(scores.get("deployed_mb"), 2)) for name, scores in found if scores
    ]


def _metrics(names: tuple[str, ...], teacher: str | None, rows: list[Row]) -> str:
    """Metrics of the teacher, of each student, of the student untrained and of its trained controls."""

    def line(title: str, epochs: int, spreads: list[Spread | None]) -> list[str]:
        return [title, str(epochs), *map(shown, spreads, (METRICS[name].digits for name in names))]

    lines = []
    own = _first(rows, None, lambda one: one.teacher)
    if teacher and own:
        lines.append([f"**{teacher} itself**", "–", *(number(own.get(name), METRICS[name].digits) for name in names)])
    untrained = set()
    for row in (row for row in rows if row.done):
        before = [row.over_seeds(lambda one, name=name: one.controls.get("untrained", {}).get(name)) for name in names]
        if row.case.control is None and any(before) and row.name not in untrained:
            untrained.add(row.name)
            lines.append(line(f"{row.name}, untrained", 0, before))
        name = row.name + (f", {row.case.control.replace('-', ' ')}" if row.case.control else "")
        lines.append(line(name, row.case.epochs, [row.metric(metric) for metric in names]))
    return table(["student", "epochs", *(METRICS[name].title for name in names)], lines)


def _costs(teacher: str, students: list[Row]) -> str:
    names = _measured("cost", students) + _measured("training", students)
    own = _first(students, None, lambda one: one.teacher)
    lines = [[f"**{teacher} itself**", "–", *(_cost(name, own.get(name)) for name in names)]] if own else []
    for row in students:
        if row.done:
            values = [row.metric(name) for name in names]
            cells = [_cost(name, value and value.mean) for name, value in zip(names, values, strict=True)]
            lines.append([row.name, str(row.case.epochs), *cells])
    costs = table(["student", "epochs", *(METRICS[name].title for name in names)], lines)
    return f"{costs}\n\n{PEAK}" if "peak_memory_mb" in names else costs


def _cost(name: str, value: float | None) -> str:
    digits = METRICS[name].digits
    return count(value) if digits is None else number(value, digits)


def _measured(group: str, rows: list[Row]) -> tuple[str, ...]:
    """The metrics of a group that any record has."""
    return tuple(row.name for row in of_group(group) if any(one.metric(row.name) for one in rows))


def _first(rows: list[Row], control: str | None, part) -> dict | None:
    """The first finished record's part that is not empty."""
    records: list[Record] = [one for row in rows if row.case.control == control for one in row.done.values()]
    return next((found for one in records if (found := part(one))), None)
