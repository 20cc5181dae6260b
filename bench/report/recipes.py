"""Which part of a gain is the recipe's, which labels or captions alone have as well, and which the teacher's; and its cost."""

from dataclasses import dataclass

from bench.kit.markdown import number, table
from bench.metrics import HEADLINE_TITLES
from bench.report.content import Report, Row, Spread
from bench.report.gains import control_of, gained, shown

NOTE = (
    "*Without teacher* is the same student with the same recipe, trained on labels or captions alone for as many steps. The "
    "recipe's part is what it gains there over `{first}` in as many epochs; the teacher's part is what comes on top with the "
    "teacher. Cost: the seconds of the teacher's passes, over augmented views too, and of the training with the teacher, all "
    "epochs, on this run's machine."
)


@dataclass(frozen=True)
class Parts:
    """A student with a recipe, the same ``without`` its teacher, and that one with the profile's first recipe, if it is done."""

    row: Row
    without: Row
    plain: Row | None

    @property
    def recipe(self) -> Spread | None:
        """What the recipe gives without a teacher, in points; None where that is not known, or it is the first itself."""
        return None if self.plain in (None, self.without) else self.without.gain_over(self.plain)

    @property
    def teacher(self) -> Spread | None:
        """What the teacher gives on top, in points."""
        return self.row.gain_over(self.without)

    @property
    def seconds(self) -> float | None:
        """The teacher's passes and the training, once; None where another machine measured them."""
        passes, training = self.row.metric("teacher_pass_seconds"), training_seconds(self.row)
        return None if passes is None or training is None else passes.mean + training


def training_seconds(row: Row) -> float | None:
    """All epochs of a training, evaluation left out, mean over the seeds."""
    epoch = row.metric("epoch_seconds")
    return epoch and epoch.mean * row.case.epochs


def parts(report: Report) -> list[Parts]:
    """One for each distilled student with a recipe, of each length, whose counterpart without a teacher is done, too."""
    pairs = []
    for row in (row for row in report.rows if row.done and row.case.recipe and row.case.is_distilled):
        without = control_of(row, "no-distillation", report.rows)
        if not without or not without.done:
            continue
        same = [one for one in report.rows if _student(one) == _student(without)]
        plain = next((one for one in same if one.done and one.case.recipe == _first(report, row)), None)
        pairs.append(Parts(row, without, plain))
    return pairs


def section(report: Report) -> str:
    """A row for each student with a recipe; nothing where a profile has no recipes."""
    several = parts(report)
    if not several:
        return ""
    kinds = dict.fromkeys(HEADLINE_TITLES[one.row.case.kind] for one in several)
    title = f"{' or '.join(kinds)} (%)"
    header = [
        "student",
        "epochs",
        title,
        "without teacher",
        "recipe's part",
        "teacher's part",
        "passes (s)",
        "training (s)",
    ]
    lines = [
        [
            f"{one.row.name} of {one.row.case.teacher} on {one.row.case.dataset}",
            str(one.row.case.epochs),
            shown(one.row.accuracy()),
            shown(one.without.accuracy()),
            gained(one.recipe),
            gained(one.teacher),
            shown(one.row.metric("teacher_pass_seconds")),
            number(training_seconds(one.row)),
        ]
        for one in several
    ]
    note = NOTE.format(first=_first(report, several[0].row))
    return f"## Which part of a gain is whose\n\n{note}\n\n{table(header, lines)}"


def _first(report: Report, row: Row) -> str:
    """The recipe that a profile names first."""
    return next(one.case.recipe for one in report.rows if one.case.student == row.case.student)


def _student(row: Row) -> tuple:
    """What a student is, its recipe aside."""
    case = row.case
    return case.dataset, case.teacher, case.student, case.epochs, case.loss, case.control
