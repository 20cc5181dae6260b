"""Whether further training helps, which the paper supposes (5.4) and could not afford: what came after its 10 epochs."""

from bench.kit.markdown import table
from bench.report.content import Report
from bench.report.gains import gained, shown
from bench.report.paper import publication
from bench.report.results import HEADLINE_TITLES, headline
from bench.report.seeds import Row, longest
from bench.results.record import Record

NEAR = 1.0  # points


def section(report: Report) -> str:
    """For each student its accuracy after the paper's longest training and after this profile's.

    Empty where nothing was trained for longer than the paper did.
    """
    after = publication.epochs()[-1]
    lines = [_line(row, after) for row in longest(report.rows) if row.case.epochs > after]
    if not lines:
        return ""
    columns = "at the end", "gain", "best on the way", f"within {NEAR:g} point from epoch"
    header = ["student", f"after {after} epochs", *columns]
    return (
        f"## Further training\n\nThe paper stops at {after} epochs and supposes that training to convergence could give more. "
        f"Headline accuracy in percent ({'; '.join(HEADLINE_TITLES.values())}). *Best on the way* is picked on the evaluation "
        f"data, so it is optimistic and no result. *Within {NEAR:g} point from epoch*: the first epoch from which accuracy never "
        f"again falls more than {NEAR:g} point below its final value.\n\n{table(header, lines)}"
    )


def _line(row: Row, after: int) -> list[str]:
    def curve(record: Record) -> list[float]:
        return [headline(row.case.kind, entry) for entry in record.curve]

    return [
        f"{row.name} of {row.case.teacher} on {row.case.dataset}, {row.case.epochs} epochs",
        shown(row.accuracy_after(after)),
        shown(row.accuracy_after(row.case.epochs)),
        gained(row.over_seeds(lambda record: curve(record)[-1] - curve(record)[after])),
        shown(row.over_seeds(lambda record: max(curve(record)))),
        shown(row.over_seeds(lambda record: float(near_the_end(curve(record)))), 0),
    ]


def near_the_end(curve: list[float]) -> int:
    """The first epoch from which on all accuracies are at most :data:`NEAR` below the last one."""
    below = [epoch for epoch, value in enumerate(curve) if value < curve[-1] - NEAR]
    return below[-1] + 1 if below else 0
