"""One section for each teacher and dataset: the gain over the controls first, then accuracy, fidelity and cost, folded."""

from bench.metrics import ACCURACIES, FIDELITY
from bench.record import Record
from bench.report.markup import count, folded, number, table
from bench.report.results import HEADLINE_TITLES, headline
from bench.report.rows import Row, bold, control_of, gained, leads, shown

TITLES = {
    "knn_top1": "k-NN top-1",
    "knn_top5": "k-NN top-5",
    "probe_top1": "probe top-1",
    "probe_top5": "probe top-5",
    "r1": "R@1",
    "r5": "R@5",
    "r10": "R@10",
    "map_r": "mAP@R",
    "median_rank": "median rank",
    "zero_shot_top1": "zero-shot top-1",
    "zero_shot_top5": "zero-shot top-5",
    "paper_accuracy": "paper protocol",
    "neighbour_overlap_10": "shared neighbours of 10 (%)",
    "cka": "linear CKA",
    "agreement_1": "agreement@1 (%)",
    "similarity_kl": "KL of similarities (nats)",
}
COSTS = {
    "size_mb": ("student MB", 3),
    "deployed_mb": ("deployed MB", 3),
    "macs": ("student MACs", None),
    "deployed_macs": ("deployed MACs", None),
    "latency_ms_batch_1": ("ms (batch 1)", 2),
    "latency_ms_batch_64": ("ms (batch 64)", 1),
    "images_per_second": ("images / s", 0),
    "inference_memory_mb": ("memory MB", 1),
    "energy_mj_per_image": ("mJ / image", 2),
    "epoch_seconds": ("s / epoch", 3),
}
GAINS = {"no-distillation": "over no distillation", "random-teacher": "over a random teacher"}


def section(dataset: str, teacher: str, rows: list[Row]) -> str:
    """Everything about the students of one teacher on one dataset. ``rows`` are theirs, with those of the controls."""
    students = [row for row in rows if row.case.control is None]
    tables = [f"## {teacher} on {dataset}", _gains(teacher, students, rows)]
    if any(row.done for row in students):
        kind = students[0].case.kind
        names = _measured((*ACCURACIES[kind], "zero_shot_top1", "zero_shot_top5", "paper_accuracy"), students)
        tables += [
            folded("Accuracy in full (%)", _metrics(names, teacher, rows)),
            folded("Fidelity to the teacher, on held-out data", _metrics(FIDELITY, None, rows)),
            folded("Cost", _costs(teacher, students)),
        ]
    return "\n\n".join(tables)


def _gains(teacher: str, students: list[Row], rows: list[Row]) -> str:
    """Accuracy, and the gain over each control."""
    kind = students[0].case.kind
    controls = trained_controls(rows)
    seeds = max(len(row.found) for row in students)
    title = f"{HEADLINE_TITLES[kind]} (%)" + (f", n = {seeds}" if seeds > 1 else "")
    header = ["student", "epochs", title, "gain over untrained", *(GAINS[name] for name in controls)]
    lines = [
        [bold(name, name == f"{teacher} itself"), "–", value, *["–"] * (len(header) - 3)]
        for name, value in references(teacher, kind, rows)
    ]
    for row in students:
        cells = [row.name, str(row.case.epochs)]
        if not row.done:
            lines.append([*cells, row.state, *["–"] * (len(header) - 3)])
            continue
        own = bold(shown(row.accuracy()), leads(row, students))
        own += f" (n = {len(row.done)})" if len(row.done) < seeds else ""
        gains = [row.gain_over_untrained(), *(row.gain_over(control_of(row, name, rows)) for name in controls)]
        lines.append([*cells, own, *map(gained, gains)])
    header += ["student MB", "deployed MB"]
    sizes = [["–", "–"]] * (len(lines) - len(students))
    sizes += [
        [shown(row.metric("size_mb"), 2), shown(row.metric("deployed_mb"), 2)] for row in map(_one_seed, students)
    ]
    return table(header, [line + size for line, size in zip(lines, sizes, strict=True)])


def trained_controls(rows: list[Row]) -> list[str]:
    """Those that any row is of."""
    return [name for name in GAINS if any(row.case.control == name for row in rows)]


def references(teacher: str, kind: str, rows: list[Row]) -> list[tuple[str, str]]:
    """What needs no student: the teacher itself, one with random weights, and raw pixels."""
    found = [(f"{teacher} itself", _first(rows, None, lambda one: one.teacher))]
    found.append((f"random {teacher} itself", _first(rows, "random-teacher", lambda one: one.teacher)))
    found.append(("raw pixels", _first(rows, None, lambda one: one.controls.get("raw-pixels"))))
    return [(name, number(headline(kind, scores))) for name, scores in found if scores]


def _metrics(names: tuple[str, ...], teacher: str | None, rows: list[Row]) -> str:
    """Metrics of the teacher, of each student, of the student untrained and of its trained controls."""
    lines = []
    own = _first(rows, None, lambda one: one.teacher)
    if teacher and own:
        lines.append([f"**{teacher} itself**", "–", *(number(own.get(name), _digits(name)) for name in names)])
    untrained = set()
    for row in rows:
        if not row.done:
            continue
        first = row.over_seeds(lambda one: float("untrained" in one.controls))
        if row.case.control is None and first and first.mean == 1 and row.name not in untrained:
            untrained.add(row.name)
            values = [row.over_seeds(lambda one, name=name: one.controls["untrained"].get(name)) for name in names]
            lines.append([f"{row.name}, untrained", "0", *map(shown, values, map(_digits, names))])
        name = row.name + (f", {row.case.control.replace('-', ' ')}" if row.case.control else "")
        values = [row.metric(metric) for metric in names]
        lines.append([name, str(row.case.epochs), *map(shown, values, map(_digits, names))])
    return table(["student", "epochs", *map(_title, names)], lines)


def _costs(teacher: str, students: list[Row]) -> str:
    names = _measured(tuple(COSTS), students)
    own = _first(students, None, lambda one: one.teacher)
    lines = [[f"**{teacher} itself**", "–", *(_cost(name, own.get(name)) for name in names)]] if own else []
    for row in students:
        if row.done:
            values = [row.metric(name) for name in names]
            cells = [_cost(name, value and value.mean) for name, value in zip(names, values, strict=True)]
            lines.append([row.name, str(row.case.epochs), *cells])
    return table(["student", "epochs", *(COSTS[name][0] for name in names)], lines)


def _cost(name: str, value: float | None) -> str:
    digits = COSTS[name][1]
    return count(value) if digits is None else number(value, digits)


def _measured(names: tuple[str, ...], rows: list[Row]) -> tuple[str, ...]:
    """The metrics that any record has."""
    return tuple(name for name in names if any(row.metric(name) for row in rows))


def _first(rows: list[Row], control: str | None, part) -> dict | None:
    """The first finished record's part that is not empty."""
    records: list[Record] = [one for row in rows if row.case.control == control for one in row.done.values()]
    return next((found for one in records if (found := part(one))), None)


def _one_seed(row: Row) -> Row:
    """A row of one of its seeds: sizes do not differ."""
    return Row(row.case, dict(list(row.done.items())[:1]))


def _digits(name: str) -> int:
    return 3 if name in ("cka", "similarity_kl") else 1


def _title(name: str) -> str:
    for direction, arrow in (("image_to_text_", "I→T "), ("text_to_image_", "T→I ")):
        if name.startswith(direction):
            return arrow + TITLES[name.removeprefix(direction)]
    return TITLES[name]
