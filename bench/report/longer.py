"""Whether further training helps, which the paper supposes (5.4) and could not afford: what came after its 10 epochs."""

from bench import paper
from bench.record import Record
from bench.report.markup import table
from bench.report.results import HEADLINE_TITLES, headline
from bench.report.rows import Row, gained, shown

NEAR = 1.0  # points


def section(rows: list[Row]) -> str:
    """For each student its accuracy after the paper's longest training and after this profile's.

    Empty where nothing was trained for longer than the paper did.
    """
    lines = [_line(row) for row in _longest(rows)]
    if not lines:
        return ""
    after = paper.epochs()[-1]
    header = ["student", f"after {after} epochs", "at the end", "gain", "best on the way", "near its end from epoch"]
    return (
        f"## Further training\n\nThe paper stops at {after} epochs and supposes that training to convergence could give more. "
        f"Headline accuracy in percent ({'; '.join(HEADLINE_TITLES.values())}); near its end: no further than {NEAR:g} point below "
        f"its last accuracy from there on. The best on the way was picked on the evaluation data: it flatters, and is no "
        f"result.\n\n{table(header, lines)}"
    )


def _longest(rows: list[Row]) -> list[Row]:
    """The longest finished training of each student, where it is longer than the paper's."""
    found: dict[tuple, Row] = {}
    for row in rows:
        case = row.case
        if row.done and case.control is None and case.epochs > paper.epochs()[-1]:
            key = case.dataset, case.teacher, row.name
            if key not in found or found[key].case.epochs < case.epochs:
                found[key] = row
    return list(found.values())


def _line(row: Row) -> list[str]:
    kind, after = row.case.kind, paper.epochs()[-1]

    def curve(found: Record) -> list[float]:
        return [headline(kind, entry) for entry in found.curve]

    spreads = [
        row.over_seeds(lambda found: curve(found)[after]),
        row.over_seeds(lambda found: curve(found)[-1]),
        row.over_seeds(lambda found: curve(found)[-1] - curve(found)[after]),
        row.over_seeds(lambda found: max(curve(found))),
        row.over_seeds(lambda found: float(near_the_end(curve(found)))),
    ]
    name = f"{row.name} of {row.case.teacher} on {row.case.dataset}, {row.case.epochs} epochs"
    return [name, *map(shown, spreads[:2]), gained(spreads[2]), shown(spreads[3]), shown(spreads[4], 0)]


def near_the_end(curve: list[float]) -> int:
    """The first epoch from which on all accuracies are at most :data:`NEAR` below the last one."""
    below = [epoch for epoch, value in enumerate(curve) if value < curve[-1] - NEAR]
    return below[-1] + 1 if below else 0
