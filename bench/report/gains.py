"""What students gained over their controls, which of them leads, and how that is written."""

from bench.controls import GAINS
from bench.kit.markdown import bold, number
from bench.plan.case import Case
from bench.report.seeds import Row, Spread


def controls_of(rows: list[Row]) -> list[str]:
    """The controls that gains can be over: untrained students, and those that any row has."""
    return [
        name for name in GAINS if name == "untrained" or any(control_of(row, name, rows) is not None for row in rows)
    ]


def gains(row: Row, among: list[Row]) -> dict[str, Spread | None]:
    """A row's gain over each of its controls, in points; None where a control has no result."""
    over_trained = {name: row.gain_over(control_of(row, name, among)) for name in GAINS if name != "untrained"}
    return {"untrained": row.gain_over_untrained()} | over_trained


def control_of(row: Row, name: str, among: list[Row]) -> Row | None:
    """The trained control called ``name`` of a row's student.

    A random teacher has the row's loss. No distillation has the task's own; where a profile compares losses, that is
    the row of that loss as well.
    """
    same = [other for other in among if _cell(other.case) == _cell(row.case)]
    if name == "no-distillation":
        found = [other for other in same if not other.case.is_distilled] if row.case.is_distilled else []
    else:
        found = [other for other in same if (other.case.control, other.case.loss) == (name, row.case.loss)]
    return next((other for other in found if other.done), next(iter(found), None))


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
    """Whether a student is significantly better, seed by seed, than every other student or loss there is."""
    others = [other for other in among if other.case.control is None and other.name != row.name and other.done]
    ahead = [row.gain_over(other) for other in others]
    return bool(ahead) and all(gain is not None and gain.mean > 0 and gain.is_significant for gain in ahead)


def shown(spread: Spread | None, digits: int = 1) -> str:
    """A figure with its deviation, or a dash."""
    return number(None) if spread is None else spread.text(digits)


def gained(spread: Spread | None) -> str:
    """A gain with its sign, bold where it is significant; or a dash."""
    return number(None) if spread is None else bold(spread.text(sign="+"), spread.is_significant)


def _cell(case: Case) -> tuple[str, str, str, int]:
    return case.dataset, case.teacher, case.student, case.epochs
