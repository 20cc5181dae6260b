"""What students gained over their controls, which of them leads, and how that is written."""

from bench.case import TRAINED_CONTROLS, Case
from bench.markup import bold, number
from bench.report.seeds import Row, Spread

# What a gain is over, by control; a table has these columns in this order.
OVER = {
    "untrained": "over untrained",
    "no-distillation": "over no distillation",
    "random-teacher": "over a random teacher",
}


def controls_of(rows: list[Row]) -> list[str]:
    """The controls that gains can be over: untrained students, and what any row was trained as."""
    trained = {row.case.control for row in rows}
    return [name for name in OVER if name == "untrained" or name in trained]


def gains(row: Row, among: list[Row]) -> dict[str, Spread | None]:
    """A row's gain over each of its controls, in points; None where a control has no result."""
    over_trained = {name: row.gain_over(control_of(row, name, among)) for name in TRAINED_CONTROLS}
    return {"untrained": row.gain_over_untrained()} | over_trained


def control_of(row: Row, name: str, among: list[Row]) -> Row | None:
    """The trained control called ``name`` of a row's student: no distillation has the task's loss, others the row's."""
    same = [other for other in among if other.case.control == name and _cell(other.case) == _cell(row.case)]
    return next((other for other in same if name == "no-distillation" or other.case.loss == row.case.loss), None)


def smallest_gain(row: Row, among: list[Row]) -> str:
    """The gain over the best of a student's controls: what distillation itself is known to have added, at least."""
    known = {name: gain for name, gain in gains(row, among).items() if gain}
    if not known:
        return number(None)
    name = min(known, key=lambda name: known[name].mean)
    return f"{gained(known[name])} ({name.replace('-', ' ')})"


def best(candidates: list[Row]) -> Row | None:
    """The row with the highest accuracy."""
    done = [row for row in candidates if row.accuracy()]
    return max(done, key=lambda row: row.accuracy().mean, default=None)


def leads(row: Row, among: list[Row]) -> bool:
    """Whether a student is the best by more than the deviation of both, over every other student or loss there is."""
    own = row.accuracy()
    if own is None or own.deviation is None:
        return False
    others = [other for other in among if other.case.control is None and other.name != row.name]
    found = [accuracy for other in others if (accuracy := other.accuracy())]
    return bool(found) and all(
        own.mean - accuracy.mean > max(own.deviation, accuracy.deviation or 0) for accuracy in found
    )


def shown(spread: Spread | None, digits: int = 1) -> str:
    """A figure with its deviation, or a dash."""
    return number(None) if spread is None else spread.text(digits)


def gained(spread: Spread | None) -> str:
    """A gain with its sign, bold where it exceeds its deviation; or a dash."""
    return number(None) if spread is None else bold(spread.text(sign="+"), spread.exceeds_deviation)


def _cell(case: Case) -> tuple[str, str, str, int]:
    return case.dataset, case.teacher, case.student, case.epochs
