"""What a reader learns from a report's first lines: the best student for each budget, and what holds of the paper."""

from math import inf

from bench.kit.markdown import number, table
from bench.report.content import HEADLINE_TITLES, Chosen, Report, Row, headline
from bench.report.gains import best, shown, smallest_gain
from bench.report.paper.claim_figures import claimed
from bench.report.paper.claims import VERDICTS, counts, on_sizes

# Decades, so that one scale fits small students and full-size ones; in MB = 2^20 bytes of all that must run.
BUDGETS_MB = (1, 10, 100, 1000, inf)
WORDS = (0, 1, 2, 3, 4)  # columns; the others are figures
HEADS = (
    "Deployed is all that must run to embed an image. A student that reads features (*with the teacher*) needs the teacher "
    "for every image. One that reads pixels (*alone*) replaces the teacher's image side; captions, where there are any, "
    "still pass through the teacher's text tower."
)
CHOICE = (
    "*Take* is the teacher itself where that fits the budget too and is no worse. The best student is picked by its score on the evaluation data, which flatters it; a larger budget is listed only "
    "where it buys more accuracy. The last column is the gain over the student's best control, which is named in brackets; "
    "it is bold where it is above 0 and significant over the seeds. Only where *no distillation* is among the controls is it a gain from "
    "distillation. Students that learned from the task alone are not listed."
)


def section(report: Report) -> str:
    """The best student for each budget, and how many of the paper's claims hold."""
    lines = [
        line for (dataset, teacher), rows in report.pairs.items() for line in _lines(f"{teacher} on {dataset}", rows)
    ]
    header = [
        "teacher", "budget", "take", "best student", "runs", "deployed MB", "accuracy (%)", "teacher itself",
        "gain over its best control",
    ]  # fmt: skip
    # One of captions has two: beside a teacher that reads no text it is images alone.
    what = dict.fromkeys(
        f"{HEADLINE_TITLES[rows[0].case.kind]} on {dataset}" for (dataset, _), rows in report.pairs.items()
    )
    measure = f"Accuracy: {'; '.join(what)}."
    best_students = f"{table(header, lines, WORDS)}\n\n{measure} {CHOICE} {HEADS}\n\n" if lines else ""
    return f"## Summary\n\n{best_students}{_claims(report.students) if report.repeats_the_paper else ''}".rstrip()


def within_budgets(students: list[Row]) -> list[tuple[float, Row]]:
    """Of each budget in MB, in rising order, the most accurate student whose deployed size is below it.

    Of equally accurate ones the smallest. A budget that buys no more than a smaller one is left out.
    """
    sized = [row for row in students if row.metric("deployed_mb")]
    sized.sort(key=lambda row: row.metric("deployed_mb").mean)
    winners: list[tuple[float, Row]] = []
    for budget in BUDGETS_MB:
        row = best([row for row in sized if row.metric("deployed_mb").mean < budget])
        if row and (not winners or row.accuracy().mean > winners[-1][1].accuracy().mean):
            winners.append((budget, row))
    return winners


def _lines(name: str, rows: list[Row]) -> list[list[str]]:
    """A line for each budget of one teacher; ``rows`` has its controls as well."""
    return [
        [
            name,
            "any size" if budget == inf else f"under {budget:,} MB",
            "the teacher" if _fits(row, budget) else "the student",
            f"{row.name}, {row.case.epochs} ep",
            "alone" if row.case.reads == "pixels" else "with the teacher",
            f"{row.metric('deployed_mb').mean:,.2f}",
            shown(row.accuracy()),
            _teacher(row),
            smallest_gain(row, rows),
        ]
        for budget, row in within_budgets([row for row in rows if row.case.control is None and row.case.is_distilled])
    ]


def _fits(row: Row, budget: float) -> bool:
    """Whether the teacher itself is within the budget, and no worse than the student; of images alone it is the measure."""
    own = row.first.teacher
    accuracy = 100.0 if row.case.kind == "images" else headline(row.case.kind, own)
    return own.get("deployed_mb", inf) < budget and accuracy is not None and accuracy >= row.accuracy().mean


def _teacher(row: Row) -> str:
    """The teacher's own accuracy and size, which are the same for all seeds."""
    own = row.first.teacher
    size = own.get("deployed_mb")
    return number(headline(row.case.kind, own)) + (f" at {number(size, 2)} MB" if size else "")


def _claims(students: Chosen) -> str:
    """How many of the paper's claims hold, on its own tables and, where it has cases that they are about, in this run."""
    by_source, sizes = counts(students), on_sizes()
    total = next(iter(by_source.values())).total()
    lines = [[name, *(str(verdicts[word]) for word in VERDICTS)] for name, verdicts in by_source.items()]
    header = [f"the paper's {total} claims", *VERDICTS]
    silent = "On the paper's own tables a claim fails where they contradict it and is not tested where they are silent."
    if not claimed(students):
        return f"{table(header, lines[:1])}\n\n{silent} No claim is about the cases of this run."
    fixed = ", ".join(f"{sizes[word]} {word}" for word in VERDICTS if sizes[word])
    return (
        f"{table(header, lines)}\n\n{silent} Both lines on this run include "
        f"{sizes.total()} claims ({fixed}) about nothing but sizes of full-size students, which no run can change. This run "
        "is not the paper's experiment: it has its own teachers and data. By the paper's accuracy every student on "
        "labelled images that gives different images different embeddings scores 100 %, trained or not."
    )
