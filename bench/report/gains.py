"""What students gained over their controls, which of them leads, and how that is written."""

from dataclasses import dataclass, replace

from bench.controls import CONTROLS, ROWS
from bench.kit.markdown import bold, number
from bench.plan.case import Case
from bench.report.content import Row, Spread


def controls_of(rows: list[Row]) -> list[str]:
    """The controls that gains can be over: untrained students, and those that any row has."""
    kinds = {row.case.kind for row in rows}
    return [
        row.name
        for row in ROWS
        if row.gain
        and kinds.intersection(row.kinds)
        and (row.name == "untrained" or any(_has(one, row.name, rows) for one in rows))
    ]


def gain(row: Row, control: str, among: list[Row]) -> Spread | None:
    """A row's gain over one of its controls, in points; None where the control has no result."""
    if row.case.kind not in CONTROLS[control].kinds:
        return None
    if CONTROLS[control].trained:
        other = control_of(row, control, among)
        return other and row.gain_over(other)
    return row.gain_over_measured(control)


def control_of(row: Row, name: str, among: list[Row]) -> Row | None:
    """The trained control called ``name`` of a row's student, with the loss that it has as a control of this row.

    Where a profile compares losses, the row of the task's own loss is the control without distillation as well.
    """
    control, case = CONTROLS[name], row.case
    expected = control.trained(case)
    if not control.random_teacher and case == replace(
        expected, controls=case.controls, several_losses=case.several_losses
    ):
        return None  # the student is its own control
    names = (name, None) if case.is_distilled and not expected.is_distilled else (name,)
    cell = *_cell(case), expected.loss
    candidates = [one for one in among if (*_cell(one.case), one.case.loss) == cell and one.case.control in names]
    return next((one for one in candidates if one.done), next(iter(candidates), None))


@dataclass(frozen=True)
class Gain:
    """A gain in points, over the control that ``over`` names, or chance; what is not known of it follows there."""

    spread: Spread
    over: str
    is_worth: bool


def least_gain(row: Row, among: list[Row]) -> Gain | None:
    """The gain over the best of a student's controls: what distillation itself is known to have added, at least.

    A control below chance is no better than chance, which then stands for it. The gain ``is_worth`` something where it is
    significant over the seeds and above 0, and no distillation is among the controls, where the data have it.
    """
    gains = [(spread, name) for name in controls_of(among) if (spread := gain(row, name, among))]
    if not gains:
        return None
    if over_chance := row.gain_over_chance():
        gains.append((over_chance, "chance"))
    known = any(name == "no-distillation" for _, name in gains) or not row.case.is_distilled
    known = known or row.case.kind not in CONTROLS["no-distillation"].kinds
    spread, name = min(gains, key=lambda item: item[0].mean)
    unknown = [] if known else ["no distillation not run"]
    unknown += ["one seed"] if spread.count == 1 else []
    over = "; ".join([name.replace("-", " "), *unknown])
    return Gain(spread, over, known and spread.is_significant and spread.mean > 0)


def below_chance(row: Row, among: list[Row]) -> dict[str, float]:
    """The accuracies of a student's controls that stand more than a point below chance, by the control's name."""
    own, over_chance = row.accuracy(), row.gain_over_chance()
    gains = {name: gain(row, name, among) for name in controls_of(among)}
    return {
        name: own.mean - spread.mean
        for name, spread in gains.items()
        if spread and over_chance and spread.mean > over_chance.mean + 1
    }


def best(candidates: list[Row]) -> Row | None:
    """The row with the highest accuracy."""
    done = [row for row in candidates if row.accuracy()]
    return max(done, key=lambda row: row.accuracy().mean, default=None)


def leads(row: Row, among: list[Row]) -> bool:
    """Whether a student is significantly better, seed by seed, than every other student or loss there is."""
    others = [other for other in among if other.case.control is None and other.name != row.name and other.done]
    ahead = [row.gain_over(other) for other in others]
    return bool(ahead) and all(lead is not None and lead.mean > 0 and lead.is_significant for lead in ahead)


def shown(spread: Spread | None, digits: int = 1) -> str:
    """A figure with its deviation, or a dash."""
    return number(None) if spread is None else spread.text(digits)


def gained(spread: Spread | None) -> str:
    """A gain with its sign, bold where it is above 0 and significant; or a dash."""
    return number(None) if spread is None else bold(spread.text(sign="+"), spread.is_significant and spread.mean > 0)


def _has(row: Row, control: str, among: list[Row]) -> bool:
    if row.case.kind not in CONTROLS[control].kinds:
        return False
    if CONTROLS[control].trained:
        return control_of(row, control, among) is not None
    return any(control in record.controls for record in row.done.values())


def _cell(case: Case) -> tuple[str, str, str, int, str | None]:
    return case.dataset, case.teacher, case.student, case.epochs, case.recipe
