"""The paper's claims as a table: each evaluated on the paper's own figures and on what was measured.

The claims and their conditions are data in reports/paper.yaml, explained in ``bench.report.paper.publication``; every
verdict is worked out here. A condition is settled cell by cell, each against that one of its others which comes nearest to
breaking it.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import product

from bench.kit.markdown import folded, number, table
from bench.metrics import HEADLINE_TITLES
from bench.report.content import Chosen, Report, headline, paper_accuracy
from bench.report.paper import publication
from bench.report.paper.claim_figures import Cell, Figure, Source, claimed, measured, printed

SHOWN = 4  # cells that a verdict names
NO_ACCURACY = "same as the column to the left: the claim involves no accuracy"
SCORED = ("accuracy", "gain", "range")
UNITS = {"size": " MB", "deployed": " MB deployed", "epoch_seconds": " s", "teacher_pass": " s"}
# The outcomes of a condition, the deciding one first. One figure is enough for the paper to contradict itself; a
# measured claim needs all its records.
PRINTED = {"no": "contradicted", "missing": "the table does not say", "yes": "holds"}
MEASURED = {"missing": "not tested", "no": "fails", "spread": "within the spread", "yes": "holds"}
# What a verdict's word counts as: the paper's tables contradict a claim, a run's records let it fail.
COUNTED = {
    "holds": "hold",
    "fails": "fail",
    "contradicted": "fail",
    "within the spread": "within the spread",
    "not tested": "not tested",
    "the table does not say": "not tested",
}
UNTESTABLE = "not testable"
VERDICTS = (*dict.fromkeys(COUNTED.values()), UNTESTABLE)


@dataclass(frozen=True)
class Comparison:
    """How one comparison comes out ("yes", "no", "spread", "missing"), by what margin, and its figures in words."""

    outcome: str
    margin: float
    text: str


def section(report: Report) -> str:
    """All claims with their verdicts on the paper's tables, by the paper's accuracy and by the headline."""
    mine = claimed(report.students)
    protocol, own = measured(mine, paper_accuracy), measured(mine, headline)
    rows = []
    for claim in publication.paper().claims:
        says = claim.says + (f" *Read as: {claim.reading}.*" if claim.reading else "")
        if claim.untestable:
            verdicts = ["the table does not say", f"not testable: {claim.untestable}", "not testable"]
        else:
            verdicts = [verdict(claim, printed), verdict(claim, protocol), NO_ACCURACY]
            if any(condition.quantity in SCORED for condition in claim.tests):
                verdicts[-1] = verdict(claim, own)
        rows.append([says, claim.where, *verdicts])
    header = ["claim", "where", "paper's own table", "measured, paper's accuracy", "measured, headline"]
    text = f"{_introduction(report.students, mine)}\n\n{table(header, rows, text=range(len(header)))}"
    return f"## The paper's claims\n\n{folded('Each claim with its verdicts', text)}"


def _introduction(students: Chosen, mine: Chosen) -> str:
    return (
        "Each finding of the paper's abstract and of its sections 5 and 6 is tested by the same rule on the figures that the "
        "paper prints (figure 1 in percent, figure 2 as fractions) and on those of this run, once by the paper's accuracy "
        f"and once by the headline ({'; '.join(HEADLINE_TITLES[kind] for kind in ('classification', 'captions'))}). "
        f"{_held(students, mine)} By the paper's accuracy every student on labelled images that gives different images "
        "different embeddings scores 100 %, trained or not, so there it carries no information.\n\nSizes are those of "
        "full-size students; *MB deployed* is everything that must run, as measured in this run. In the paper the teacher "
        "runs in every epoch; here it runs once, so teachers are compared by the seconds of that one pass. Over several seeds "
        "figures are means ± standard deviation, and a difference counts only if it exceeds the larger of the two deviations: a "
        "coarser rule than that of what is bold elsewhere, since ratios and ranges are compared as well."
    )


def _held(students: Chosen, mine: Chosen) -> str:
    """Which of a run's students are held against the claims: ``mine``."""
    compares = any(case.variant for case, _ in students)
    what, own = (
        ("recipes", "the paper's recipe") if any(case.recipe for case, _ in students) else ("losses", "their own loss")
    )
    if not mine:
        return (
            "**The measured columns have no case of this run**: its profile compares "
            f"{what}, and the claims are about students with {own}, so none of its cases is compared with them."
        )
    pairs = ", ".join(dict.fromkeys(f"{case.teacher} on {case.dataset}" for case, _ in mine))
    weights = list(dict.fromkeys(case.weights for case, _ in mine))
    caution = {
        "pocket": " Pocket teachers are small models: their figures say nothing about the full-size ones.",
        "random": " Random teachers know nothing that a student could learn: no accuracy here says anything about pretrained ones.",
    }
    cautions = "".join(caution.get(name, "") for name in weights)
    without = f" Cases that compare {what} are left out: the claims are about students with {own}."
    return (
        "**The measured columns are about this run, not about the paper's experiment**: in place of the paper's data and "
        f"teachers they have {pairs}, with {' and '.join(weights)} teachers.{without if compares else ''}{cautions}"
    )


def counts(students: Chosen) -> dict[str, Counter[str]]:
    """How often each of :data:`VERDICTS` falls, by what the claims are tested on, in words."""
    mine = claimed(students)
    sources = {
        "on the paper's own tables": printed,
        "in this run, by the headline accuracy": measured(mine, headline),
        "in this run, by the paper's accuracy": measured(mine, paper_accuracy),
    }
    return {name: _counted(publication.paper().claims, source) for name, source in sources.items()}


def on_sizes() -> Counter[str]:
    """The same in any run, of the claims on nothing but sizes of full-size students: they need no record."""
    claims = [one for one in publication.paper().claims if {condition.quantity for condition in one.tests} == {"size"}]
    return _counted(claims, measured([], headline))


def _counted(claims: Iterable[publication.Claim], source: Source) -> Counter[str]:
    return Counter(UNTESTABLE if claim.untestable else COUNTED[settled(claim, source)[0]] for claim in claims)


def verdict(claim: publication.Claim, source: Source) -> str:
    """The claim's verdict in one source with the figures that decide it, as :func:`settled` finds them."""
    word, texts = settled(claim, source)
    shown = 1 if COUNTED[word] == "not tested" else SHOWN
    more = f"; and {len(texts) - shown} more" if len(texts) > shown else ""
    return f"**{word}**: {'; '.join(texts[:shown])}{more}"


def settled(claim: publication.Claim, source: Source) -> tuple[str, list[str]]:
    """The word of the claim's verdict in one source, and the comparisons that decide it in words."""
    words = PRINTED if source is printed else MEASURED
    order = list(words)
    nearest = [
        min(comparisons, key=lambda comparison: (order.index(comparison.outcome), comparison.margin))
        for condition in claim.tests
        for comparisons in _comparisons(condition, source)
    ]
    outcome = min((comparison.outcome for comparison in nearest), key=order.index)
    deciding = dict.fromkeys(comparison.text for comparison in nearest if comparison.outcome == outcome)
    return words[outcome], [*deciding]


def _comparisons(condition: publication.Condition, source: Source) -> Iterator[list[Comparison]]:
    """For each cell of a condition its comparisons: against each of its others, or alone."""
    for cell in _cells(condition, condition.cells):
        left, name = _figure(condition.quantity, cell, condition.cells.student, source), _name(cell)
        if condition.operator is None:
            others = {"": None}
        elif condition.others is None:
            others = {f"{cell.teacher} itself": _figure(f"teacher's {condition.quantity}", cell, (), source)}
        else:
            students = condition.others.student or condition.cells.student
            others = {
                _name(other, cell): _figure(condition.quantity, other, students, source)
                for other in _cells(condition, condition.others, cell)
            }
        yield [_comparison(condition, name, left, *other) for other in others.items()]


def _cells(condition: publication.Condition, wanted: publication.Cells, base: Cell | None = None) -> list[Cell]:
    """All combinations; what ``wanted`` leaves open is that of ``base``. A range has all its students in one cell."""
    base = base or Cell()
    students = () if condition.quantity == "range" else wanted.student
    parts = wanted.teacher or [base.teacher], students or [base.student], wanted.epochs or [base.epochs]
    return [Cell(*each) for each in product(*parts)]


def _name(cell: Cell, base: Cell | None = None) -> str:
    """The parts of a cell, or those in which it differs from another."""
    parts = {"teacher": cell.teacher, "student": cell.student, "epochs": cell.epochs and f"{cell.epochs} ep"}
    named = [part for part in parts if base is None or getattr(cell, part) != getattr(base, part)]
    return " ".join(parts[part] for part in named if parts[part])


def _figure(quantity: str, cell: Cell, students: tuple[str, ...], source: Source) -> Figure:
    """A quantity of a cell: one that the source has, or one that follows from accuracies."""
    if quantity == "gain":
        first, last = (source("accuracy", replace(cell, epochs=length)) for length in publication.paper().epochs)
        if first.value is None or last.value is None:
            return first if first.value is None else last
        gain = last.value - first.value
        return Figure(gain, f"{first.text} → {last.text} ({number(gain, 2, '+')})", max(first.spread, last.spread))
    if quantity == "range":
        figures = [source("accuracy", replace(cell, student=student)) for student in students]
        absent = next((figure for figure in figures if figure.value is None), None)
        if absent:
            return absent
        low, high = (pick(figures, key=lambda one: one.value) for pick in (min, max))
        text = f"{high.value - low.value:.2f} ({low.text} to {high.text})"
        return Figure(high.value - low.value, text, max(low.spread, high.spread))
    figure = source(quantity, cell)
    unit = "" if figure.value is None else UNITS.get(quantity.removeprefix("teacher's "), "")
    return replace(figure, text=figure.text + unit)


def _comparison(
    condition: publication.Condition, name: str, left: Figure, other: str, right: Figure | None
) -> Comparison:
    """One comparison. A bound counts as kept or broken only by more than the larger standard deviation."""
    for who, figure in ((name, left), (f"{name} against {other}", right)):
        if figure and figure.value is None:
            return Comparison("missing", 0.0, f"{who}: {figure.text}")
    text = f"{name} {left.text}"
    if right:
        text += f" against {other} {right.text}"
        if condition.operator == "over" and right.value:
            text += f" ({number(left.value / right.value, 2)} times)"
    outcomes = [
        _outcome(condition.operator, bound, left, right or Figure(0.0, "")) for bound in condition.bounds.items()
    ]
    outcome = min((outcome for outcome, _ in outcomes), key=["no", "spread", "yes"].index)
    return Comparison(outcome, min(margin for _, margin in outcomes), text)


def _outcome(operator: str | None, bound: tuple[str, float], left: Figure, right: Figure) -> tuple[str, float]:
    """Whether one bound is kept, and the margin. ``a / b > t`` is tested as ``a - t b > 0``."""
    name, limit = bound
    factor, constant = (limit, 0.0) if operator == "over" else (1.0, limit)
    over = left.value - factor * right.value - constant
    near = 0.01 * abs(limit) - abs(over)
    margin = {"above": over, "at_least": over, "below": -over, "at_most": -over, "about": near}[name]
    margin = round(margin, 9)  # 72.42 - 72.34 is not quite 0.08
    spread = max(left.spread, factor * right.spread)
    if spread and abs(margin) <= spread:
        return "spread", margin
    return "yes" if margin > 0 or (margin == 0 and name in ("at_least", "at_most", "about")) else "no", margin
