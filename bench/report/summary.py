"""What a reader learns from a report's first lines: what to take for each budget, and what holds of the paper."""

from dataclasses import dataclass
from math import inf, sqrt

from bench.kit.markdown import number, table
from bench.metrics import HEADLINE_TITLES
from bench.report.content import Chosen, Report, Row, Spread, headline
from bench.report.gains import best, gained, least_gain
from bench.report.paper.claim_figures import claimed
from bench.report.paper.claims import VERDICTS, counts, on_sizes

# Decades, so that one scale fits small students and full-size ones; in MB = 2^20 bytes of all that must run.
BUDGETS_MB = (1, 10, 100, 1000, inf)
HEADER = ("budget", "take", "accuracy (%)", "runs", "deployed MB", "ms (batch 1)", "gain over its best control")
WORDS = (0, 1, 3)  # columns; the others are figures
Z = 1.96  # of a 95 % interval
RUNS = (
    "A *head* is a student that reads its teacher's features and needs the teacher for every image (*with the teacher*). "
    "Other students read pixels and replace the teacher's image side (*alone*); captions, where there are any, still pass "
    "through its text tower. *Deployed* is all that must run to embed an image."
)
CHOICE = (
    "A student is worth taking where its gain is significant over the seeds (bold), unless the teacher fits the budget too and is "
    "as accurate. Otherwise a teacher that fits is the choice; where none does, *nothing yet* names the best student. The gain "
    "is over the best of the student's controls, named in brackets; without *no distillation* among them it is none from "
    "distillation. In brackets behind an accuracy is its 95 % interval: of the mean over the seeds, or of one seed by the number of "
    "evaluation images (Wilson's), which knows nothing of another seed's student. The best of several students is picked on "
    "the evaluation data, which flatters it. Students that learned from the task alone are not listed."
)
IN_BATCH = (
    "*The paper's accuracy* is how often an image is matched with its own caption among those of a batch, or where there are "
    "no captions with itself"
)


@dataclass(frozen=True)
class Choice:
    """What to take below a budget in MB: "teacher", "student" or "nothing"; ``row`` is the best student there is."""

    budget: float
    take: str
    row: Row


def section(report: Report) -> str:
    """What to take for each budget, and how many of the paper's claims hold."""
    lines = decisions(report)
    # One of captions has two: beside a teacher that reads no text it is images alone.
    what = dict.fromkeys(
        f"{HEADLINE_TITLES[rows[0].case.kind]} on {dataset}" for (dataset, _), rows in report.pairs.items()
    )
    measure = f"Accuracy: {'; '.join(what)}."
    if all(len(row.done) < 2 for row in report.rows):
        measure += " One seed shows no significance: `--seeds 0,1,2` trains three."
    first = f"{table(list(HEADER), lines, WORDS)}\n\n{measure}\n\n{CHOICE}\n\n{RUNS}\n\n" if lines else ""
    return f"## Summary\n\n{first}{_claims(report.students) if report.repeats_the_paper else ''}".rstrip()


def decisions(report: Report) -> list[list[str]]:
    """The lines below :data:`HEADER`, of each teacher and budget."""
    return [
        _line(f"{teacher} on {dataset}", choice, rows)
        for (dataset, teacher), rows in report.pairs.items()
        for choice in choices(rows)
    ]


def choices(rows: list[Row]) -> list[Choice]:
    """What to take of a teacher and its students below each budget, in rising order; ``rows`` has the controls as well.

    A budget that changes nothing is left out. Of equally accurate students the smallest is the best.
    """
    students = [row for row in rows if row.case.control is None and row.case.is_distilled and row.metric("deployed_mb")]
    students.sort(key=lambda row: row.metric("deployed_mb").mean)
    worthy = [row for row in students if (gain := least_gain(row, rows)) and gain.is_worth]
    chosen: list[Choice] = []
    for budget in BUDGETS_MB:
        fitting = [row for row in students if row.metric("deployed_mb").mean < budget]
        if (row := best(fitting)) is None:
            continue
        worth = best([one for one in fitting if one in worthy])
        if _fits(worth or row, budget, beside=worth):
            choice = Choice(budget, "teacher", row)
        else:
            choice = Choice(budget, "student", worth) if worth else Choice(budget, "nothing", row)
        before = chosen[-1] if chosen else None
        if before is None or before.take != choice.take or (choice.take != "teacher" and before.row is not choice.row):
            chosen.append(choice)
    return chosen


def _fits(row: Row, budget: float, beside: Row | None) -> bool:
    """Whether the teacher of ``row`` is within the budget, and no worse than a student ``beside`` it."""
    own = row.first.teacher
    accuracy = _of_teacher(row)
    return (
        own.get("deployed_mb", inf) < budget
        and accuracy is not None
        and (beside is None or accuracy >= beside.accuracy().mean)
    )


def _of_teacher(row: Row) -> float | None:
    """The teacher's own accuracy; of images alone it is the measure."""
    return 100.0 if row.case.kind == "images" else headline(row.case.kind, row.first.teacher)


def _line(name: str, choice: Choice, rows: list[Row]) -> list[str]:
    row, images = choice.row, choice.row.first.protocol.get("test_images")
    budget = f"{name}, {'any size' if choice.budget == inf else f'under {choice.budget:,} MB'}"
    if choice.take == "teacher":
        own = row.first.teacher
        accuracy = "–" if row.case.kind == "images" else _accuracy(Spread(_of_teacher(row), None), images)
        sizes = number(own["deployed_mb"], 2), number(own.get("latency_ms_batch_1"), 2)
        return [budget, "the teacher", accuracy, "alone", *sizes, "–"]
    student, latency = f"{row.name}, {row.case.epochs} ep", row.metric("latency_ms_batch_1")
    gain = least_gain(row, rows)
    return [
        budget,
        student if choice.take == "student" else f"nothing yet ({student})",
        _accuracy(row.accuracy(), images),
        "alone" if row.case.reads == "pixels" else "with the teacher",
        number(row.metric("deployed_mb").mean, 2),
        number(latency and latency.mean, 2),
        f"{gained(gain.spread)} ({gain.over})" if gain else "–",
    ]


def _accuracy(spread: Spread, images: int | None) -> str:
    """An accuracy in percent with its 95 % interval: over seeds, or of one by how many evaluation images there are."""
    low, high = spread.interval if spread.count > 1 else wilson(spread.mean, images) if images else (None, None)
    return number(spread.mean) + ("" if low is None else f" ({number(max(low, 0.0))} to {number(min(high, 100.0))})")


def wilson(percent: float, count: int) -> tuple[float, float]:
    """The 95 % interval, in percent, of a share of ``count`` trials.

    Wilson's score interval without continuity correction, Newcombe (Statistics in Medicine 17, 1998), method 3.
    """
    share, square = percent / 100, Z * Z
    centre, half = share + square / (2 * count), Z * sqrt(share * (1 - share) / count + square / (4 * count**2))
    return 100 * (centre - half) / (1 + square / count), 100 * (centre + half) / (1 + square / count)


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
        f"is not the paper's experiment: it has its own teachers and data. {IN_BATCH}: then every student that gives different "
        "images different embeddings scores 100 %, trained or not."
    )
