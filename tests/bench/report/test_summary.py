"""The summary: the best student for each budget, and how many of the paper's claims hold."""

from dataclasses import replace
from math import inf

import pytest

from bench.plan import matrix
from bench.report import pages, summary
from bench.report.content import Report
from bench.report.paper import publication
from bench.report.paper.claims import counts
from tests.bench.made import made
from tests.bench.report.paper.claimed import ABOVE, written
from tests.bench.report.seeded import rows

CASES = [case for case in matrix.cases(matrix.load(), "pocket") if (case.teacher, case.epochs) == ("dino", 10)]
# Accuracy in percent and deployed MB.
STUDENTS = {
    "densenet": (60.0, 0.32),
    "resnet": (55.0, 1.0),  # not below 1 MB, and no better
    "projection": (70.0, 1.81),
    "attention": (70.0, 12.0),  # larger, and only as good
    "cbam": (71.0, 330.0),
    "bottleneck": (80.0, 2000.0),
}
NOT_RUN = [(case, None) for case in CASES]


def measured(students=STUDENTS, **changes):
    return [
        (case, made(case, students[case.student][0], metrics={"deployed_mb": students[case.student][1]}, **changes))
        for case in CASES
        if case.student in students
    ]


def section(cases):
    return summary.section(Report("pocket", cases))


@pytest.mark.parametrize(
    ("students", "expected"),
    [
        # A budget that buys nothing is left out.
        (STUDENTS, [(1, "densenet"), (10, "projection"), (1000, "cbam"), (inf, "bottleneck")]),
        # Sizes of the full-size table: DenseNet-121, ResNet-18, a head with its ViT-B/16.
        (
            {"densenet": (50.0, 27.2), "resnet": (60.0, 43.0), "projection": (70.0, 328.0)},
            [(100, "resnet"), (1000, "projection")],
        ),
        # Of equally accurate ones the smallest.
        ({"projection": (70.0, 1.9), "bottleneck": (70.0, 1.7), "cbam": (70.0, 1.8)}, [(10, "bottleneck")]),
    ],
)
def test_each_budget_has_the_best_student_that_fits(students, expected):
    winners = summary.within_budgets(rows(measured(students)))
    assert [(budget, row.case.student) for budget, row in winners] == expected


def test_a_line_has_the_size_the_teacher_and_the_gain_over_the_best_control():
    text = section(measured(untrained=58.5))
    for line in (
        "| dino on shapes | under 1 MB | the student | densenet, 10 ep | alone | 0.32 | 60.0 | 65.0 | +1.5 (untrained; no distillation not run) |",
        "| dino on shapes | under 10 MB | the student | projection, 10 ep | with the teacher | 1.81 | 70.0 | 65.0 | +11.5 (untrained;",
        "| dino on shapes | any size | the student | bottleneck, 10 ep |",
        "|:--|:--|:--|:--|:--|--:|--:|--:|--:|",
    ):
        assert line in text


@pytest.mark.parametrize(("own", "takes"), [
    ({"knn_top1": 90.0, "deployed_mb": 1.78}, ["the student", "the teacher", "the teacher", "the teacher"]),
    ({"knn_top1": 70.5, "deployed_mb": 1.78}, ["the student", "the teacher", "the student", "the student"]),
    ({"knn_top1": 90.0, "deployed_mb": 400.0}, ["the student", "the student", "the teacher", "the teacher"]),
])  # fmt: skip
def test_the_teacher_is_taken_where_it_fits_and_is_no_worse(own, takes):
    lines = [line.split(" | ") for line in section(measured(teacher=own)).splitlines() if line.startswith("| dino on")]
    assert [cells[2] for cells in lines] == takes


def test_of_images_alone_a_teacher_that_fits_is_taken_since_it_is_the_measure():
    case = replace(next(case for case in CASES if case.student == "projection"), dataset="scenes")
    assert case.kind == "images"  # a caption set beside a teacher that reads no text
    for megabytes, taken in ((1.5, "the teacher"), (40.0, "the student")):
        text = section([(case, made(case, 70.0, teacher={"deployed_mb": megabytes}))])
        assert f"| under 10 MB | {taken} |" in text


def test_a_run_that_repeats_nothing_of_the_paper_says_nothing_of_its_claims():
    foreign = [(replace(case, teacher="efficientnet"), record) for case, record in measured()]
    assert "budget" in section(foreign) and "claims" not in section(foreign)
    text = pages.page(Report("own", foreign))
    assert "paper's claims" not in text and "claims" in pages.page(Report("pocket", measured()))


def test_nothing_is_best_where_nothing_is_done_or_nothing_distilled():
    text = section(NOT_RUN)
    assert "budget" not in text and "the paper's 50 claims" in text
    assert summary.within_budgets(rows([(case, made(case, status="oom")) for case in CASES])) == []
    compared = [case for case in matrix.cases(matrix.load(), "losses") if case.loss in ("rkd", "cross-entropy")]
    text = section(
        [(case, made(case, 70.0 + 9 * (not case.is_distilled))) for case in compared if case.dataset == "shapes"]
    )
    assert "| densenet (rkd), 10 ep |" in text and "(cross-entropy), 10 ep" not in text


def test_it_says_how_many_claims_are_decided_by_sizes_in_every_run(tmp_path, monkeypatch):
    nothing = counts(NOT_RUN)["in this run, by the headline accuracy"]
    decided = (
        f"include {nothing['hold'] + nothing['fail']} claims ({nothing['hold']} hold, {nothing['fail']} fail) about"
    )
    assert decided in section(NOT_RUN) and decided in section(measured())
    # ResNet-18 is larger than a linear layer; a claim with an accuracy in it needs a record.
    larger = "{size: {teacher: clip, student: resnet}, over: {student: projection}, above: 1}"
    claims = [claim for tests in ([larger], [larger, ABOVE], [ABOVE]) for claim in written(tmp_path, *tests)]
    changed = publication.paper().model_copy(update={"claims": claims})
    monkeypatch.setattr(publication, "paper", lambda: changed)
    assert "include 1 claims (1 hold) about nothing but sizes" in section(measured())


def test_a_run_that_compares_losses_is_held_against_no_claim():
    """A sentence says so, instead of lines that are full of "not tested"."""
    own = [(replace(case, several_losses=True), record) for case, record in measured()]
    lines = section(own).splitlines()
    assert [line.split(" | ")[0] for line in lines if line.startswith(("| on ", "| in "))] == [
        "| on the paper's own tables"
    ]
    assert lines[-1].endswith("No claim is about the cases of this run.")
