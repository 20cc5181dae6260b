"""The summary: what to take for each budget, and how many of the paper's claims hold."""

from dataclasses import replace
from math import inf

import pytest

from bench.plan import matrix
from bench.report import pages, summary
from bench.report.content import Report
from bench.report.paper import publication
from bench.report.paper.claims import counts
from tests.bench.made import made
from tests.bench.report.paper.claimed import ABOVE, claim
from tests.bench.report.seeded import rows, seeded

CASES = [
    case
    for case in matrix.cases(matrix.load(), "pocket", controls=("untrained", "teacher"))
    if (case.teacher, case.epochs) == ("dino", 10)
]
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
    chosen = summary.choices(rows(measured(students)))
    assert [(one.budget, one.row.case.student) for one in chosen] == expected


def over_seeds(accuracies, alone, teacher=None):
    """Of DINO's students that ``accuracies`` names, after 10 epochs; ``alone`` is what each has without distillation."""
    planned = matrix.cases(matrix.load(), "pocket", seeds=(0, 1, 2), controls=("no-distillation",))
    chosen = [case for case in planned if (case.teacher, case.epochs) == ("dino", 10) and case.student in accuracies]
    return rows(
        [
            (
                case,
                made(
                    case,
                    (alone if case.control else accuracies)[case.student] + 0.1 * case.seed,
                    metrics={} if case.control else {"deployed_mb": STUDENTS[case.student][1]},
                    **{} if teacher is None else {"teacher": {"knn_top1": teacher, "deployed_mb": 1.78}},
                ),
            )
            for case in chosen
        ]
    )


@pytest.mark.parametrize(("densenet", "alone", "teacher", "expected"), [
    (60.0, 55.0, 90.0, [(1, "student", "densenet"), (10, "teacher", "projection")]),
    (60.0, 65.0, 90.0, [(1, "nothing", "densenet"), (10, "teacher", "projection")]),
    # A head that labels alone would have made as good is no choice, however good; a smaller student may be one.
    (60.0, 55.0, None, [(1, "student", "densenet")]),
    (60.0, 65.0, None, [(1, "nothing", "densenet"), (10, "nothing", "projection")]),
    (60.0, 55.0, 58.0, [(1, "student", "densenet")]),
])  # fmt: skip
def test_a_student_is_taken_where_distillation_made_it_and_no_better_teacher_fits(densenet, alone, teacher, expected):
    chosen = summary.choices(
        over_seeds({"densenet": densenet, "projection": 70.0}, {"densenet": alone, "projection": 71.0}, teacher)
    )
    assert [(one.budget, one.take, one.row.case.student) for one in chosen] == expected


def test_a_line_has_accuracy_with_its_interval_size_latency_and_the_gain_over_the_best_control():
    text = section(measured(untrained=58.5, protocol={"test_images": 500}))
    for line in (
        "| dino on shapes, under 1 MB | nothing yet (densenet, 10 ep) | 60.0 (55.6 to 64.2) | alone | 0.32 | 2.00 | "
        "+1.5 (untrained; no distillation not run; one seed) |",
        "| dino on shapes, under 10 MB | nothing yet (projection, 10 ep) | 70.0 (65.8 to 73.9) | with the teacher | 1.81 |",
        "| dino on shapes, any size | nothing yet (bottleneck, 10 ep) |",
        "|:--|:--|--:|:--|--:|--:|--:|",
        "One seed shows no significance: `--seeds 0,1,2`",
    ):
        assert line in text


def test_the_interval_over_seeds_is_students_t():
    """60.0, 60.1, 60.2: t = 4.303 of two degrees of freedom, times 0.1 / sqrt(3)."""
    chosen = over_seeds({"densenet": 60.0}, {"densenet": 50.0})
    (line,) = [summary._line("dino", one, chosen) for one in summary.choices(chosen)]
    assert "One seed" not in section(seeded())
    assert line[1:3] == ["densenet, 10 ep", "60.1 (59.9 to 60.3)"] and line[-1].startswith("**+10.0 ± 0.0**")


@pytest.mark.parametrize(("hits", "count", "expected"), [
    (81, 263, (0.2553, 0.3662)), (15, 148, (0.0624, 0.1605)), (0, 20, (0.0, 0.1611)), (1, 29, (0.0061, 0.1718)),
])  # fmt: skip
def test_the_interval_of_one_seed_is_wilsons(hits, count, expected):
    """The four examples of Newcombe (1998), table I, method 3."""
    found = summary.wilson(100 * hits / count, count)
    assert found == pytest.approx([100 * end for end in expected], abs=0.006)


@pytest.mark.parametrize(("own", "takes"), [
    ({"knn_top1": 90.0, "deployed_mb": 1.78}, ["nothing", "teacher"]),
    ({"knn_top1": 40.0, "deployed_mb": 1.78}, ["nothing", "teacher"]),  # no student has shown a gain
    ({"knn_top1": 90.0, "deployed_mb": 400.0}, ["nothing", "nothing", "teacher"]),
    ({"knn_top1": 90.0}, ["nothing", "nothing", "nothing", "nothing"]),
])  # fmt: skip
def test_a_teacher_that_fits_is_taken_where_no_student_has_shown_a_gain(own, takes):
    assert [one.take for one in summary.choices(rows(measured(teacher=own)))] == takes


def test_of_images_alone_a_teacher_that_fits_is_taken_since_it_is_the_measure():
    case = replace(next(case for case in CASES if case.student == "projection"), dataset="scenes")
    assert case.kind == "images"  # a caption set beside a teacher that reads no text
    for megabytes, taken in ((1.5, "the teacher"), (40.0, "nothing yet (projection, 10 ep)")):
        text = section([(case, made(case, 70.0, teacher={"deployed_mb": megabytes}))])
        assert f"under 10 MB | {taken} |" in text


def test_a_run_that_repeats_nothing_of_the_paper_says_nothing_of_its_claims():
    foreign = [(replace(case, teacher="efficientnet"), record) for case, record in measured()]
    assert "budget" in section(foreign) and "claims" not in section(foreign)
    text = pages.page(Report("own", foreign))
    assert "paper's claims" not in text and "claims" in pages.page(Report("pocket", measured()))


def test_nothing_is_best_where_nothing_is_done_or_nothing_distilled():
    text = section(NOT_RUN)
    assert "budget" not in text and "the paper's 50 claims" in text
    assert summary.choices(rows([(case, made(case, status="oom")) for case in CASES])) == []
    compared = [case for case in matrix.cases(matrix.load(), "losses") if case.loss in ("rkd", "cross-entropy")]
    text = section(
        [(case, made(case, 70.0 + 9 * (not case.is_distilled))) for case in compared if case.dataset == "shapes"]
    )
    assert "(densenet (rkd), 10 ep) |" in text and "(cross-entropy), 10 ep" not in text


def test_it_says_how_many_claims_are_decided_by_sizes_in_every_run(monkeypatch):
    nothing = counts(NOT_RUN)["in this run, by the headline accuracy"]
    decided = (
        f"include {nothing['hold'] + nothing['fail']} claims ({nothing['hold']} hold, {nothing['fail']} fail) about"
    )
    assert decided in section(NOT_RUN) and decided in section(measured())
    # ResNet-18 is larger than a linear layer; a claim with an accuracy in it needs a record.
    larger = "{size: {teacher: clip, student: resnet}, over: {student: projection}, above: 1}"
    claims = [claim(*tests) for tests in ([larger], [larger, ABOVE], [ABOVE])]
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
