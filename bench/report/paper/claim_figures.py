"""The figures that the paper's claims are tested on: those that the paper prints, and those of records."""

from collections.abc import Callable
from dataclasses import dataclass

from bench.kit.markdown import number
from bench.plan.case import Case
from bench.report.content import Chosen, Score, Spread, is_done, status
from bench.report.paper import publication
from bench.report.paper.full_sizes import full_sizes
from bench.results.record import Record

METRIC_OF = {"deployed": "deployed_mb", "teacher_pass": "teacher_pass_seconds", "epoch_seconds": "epoch_seconds"}


@dataclass(frozen=True)
class Cell:
    """What a figure belongs to; None where its quantity has no such part."""

    teacher: str | None = None
    student: str | None = None
    epochs: int | None = None


@dataclass(frozen=True)
class Figure:
    """A value with its standard deviation over seeds (0 for one seed) and its text; without a value, why there is none."""

    value: float | None
    text: str
    spread: float = 0.0


Source = Callable[[str, Cell], Figure]  # says a quantity of ``paper.QUANTITIES``, or "teacher's" and a quantity


def claimed(cases: Chosen) -> Chosen:
    """The cases that claims are about: the paper's teachers, no controls, the student's own loss, of each teacher one dataset.

    That is the paper's where the profile has it, else the first.
    """
    teachers = {name for table in publication.paper().tables for name in table.teachers}
    kept = [item for item in cases if item[0].teacher in teachers and not (item[0].control or item[0].variant)]
    papers = [table.dataset for table in publication.paper().tables]
    datasets: dict[str, str] = {}
    for case, _ in sorted(kept, key=lambda item: item[0].dataset not in papers):
        datasets.setdefault(case.teacher, case.dataset)
    return [(case, record) for case, record in kept if case.dataset == datasets[case.teacher]]


def printed(quantity: str, cell: Cell) -> Figure:
    """What the paper's tables say of a cell; accuracies in percent, their texts as printed."""
    own = _table(cell)
    if quantity == "size":
        text = own.size_mb.get(cell.student)
        return Figure(None, "no such column") if text is None else Figure(float(text), text)
    if quantity not in ("accuracy", "out_of_memory"):
        return Figure(None, "not printed")
    text = own.accuracy[cell.epochs][cell.teacher].get(cell.student)
    if text is None:
        return Figure(None, "no such column")
    full = text == "Out of Memory"
    if quantity == "out_of_memory":
        return Figure(float(full), text)
    percent = 100 if own.kind == "classification" else 1
    return Figure(None if full else round(float(text) * percent, 6), text)


def measured(cases: Chosen, score: Score) -> Source:
    """The figures of records, as means over seeds, with ``score`` as their accuracy; sizes are full-size students'."""

    def source(quantity: str, cell: Cell) -> Figure:
        if quantity == "size":
            return _full_size(cell)
        wanted = {key: part for key, part in vars(cell).items() if part is not None}
        own = [item for item in cases if wanted.items() <= vars(item[0]).items()]
        bad = [record for _, record in own if not is_done(record)]
        if quantity == "teacher_pass":  # whichever of the teacher's records there is has it
            own, bad = [item for item in own if is_done(item[1])], []
        if quantity == "out_of_memory" and own and all(record and record.status == "oom" for record in bad):
            return Figure(float(len(bad) == len(own)), status(bad[0]) if bad else "done")
        if bad or not own:
            return Figure(None, status(bad[0] if bad else None))
        values = [_value(quantity, case, record, score) for case, record in own]
        if None in values:
            return Figure(None, "no such figure")
        # Cases share a pass: it is one figure however many records have it.
        spread = Spread.of([*dict.fromkeys(values)] if quantity == "teacher_pass" else values)
        return Figure(spread.mean, spread.text(2), spread.deviation or 0.0)

    return source


def _table(cell: Cell) -> publication.Table:
    return next(one for one in publication.paper().tables if cell.teacher in one.teachers)


def _full_size(cell: Cell) -> Figure:
    dataset = _table(cell).dataset
    sizes = {row["student"]: row["size_mb"] for row in full_sizes() if row["dataset"] == dataset}
    size_mb = sizes.get(cell.student)
    return Figure(size_mb, "no such student" if size_mb is None else number(size_mb, 3))


def _value(quantity: str, case: Case, record: Record, score: Score) -> float | None:
    scores = record.teacher if quantity.startswith("teacher's ") else record.metrics
    quantity = quantity.removeprefix("teacher's ")
    if quantity == "accuracy":
        return score(case.kind, scores)
    return scores.get(METRIC_OF[quantity])
