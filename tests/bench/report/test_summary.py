"""The summary: the best student for each budget, and how many of the paper's claims hold."""

import dataclasses
from math import inf

from bench.plan import matrix
from bench.report import summary
from bench.report.paper import claims, publication, tables
from bench.report.paper.claim_counts import VERDICTS, counts
from bench.report.seeds import rows
from tests.bench.made import made
from tests.bench.report.paper.claimed import ABOVE, written

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


def chosen(students=STUDENTS, **changes):
    return [
        (case, made(case, students[case.student][0], metrics={"deployed_mb": students[case.student][1]}, **changes))
        for case in CASES
        if case.student in students
    ]


def test_each_budget_has_the_best_student_that_fits_and_is_left_out_where_it_buys_nothing():
    found = summary.within_budgets(rows(chosen()))
    assert [(budget, row.case.student) for budget, row in found] == [
        (1, "densenet"), (10, "projection"), (1000, "cbam"), (inf, "bottleneck")
    ]  # fmt: skip


def test_full_size_students_fall_into_the_same_decades():
    # The full-size table's own sizes: DenseNet-121, ResNet-18, a head with its ViT-B/16.
    full = {"densenet": (50.0, 27.2), "resnet": (60.0, 43.0), "projection": (70.0, 328.0)}
    found = summary.within_budgets(rows(chosen(full)))
    assert [(budget, row.case.student) for budget, row in found] == [(100, "resnet"), (1000, "projection")]


def test_of_equally_accurate_students_the_smallest_is_best():
    equal = {"projection": (70.0, 1.9), "bottleneck": (70.0, 1.7), "cbam": (70.0, 1.8)}
    [(_, row)] = summary.within_budgets(rows(chosen(equal)))
    assert row.case.student == "bottleneck"


def test_a_line_has_the_size_the_teacher_and_the_gain_over_the_best_control():
    text = section(chosen(untrained=58.5))
    assert "| dino on shapes | under 1 MB | densenet, 10 ep | alone | 0.32 | 60.0 | 65.0 | +1.5 (untrained) |" in text
    assert (
        "| dino on shapes | under 10 MB | projection, 10 ep | with the teacher | 1.81 | 70.0 | 65.0 | +11.5 (untrained) |"
        in text
    )
    assert "| dino on shapes | any size | bottleneck, 10 ep |" in text
    assert "|:--|:--|:--|:--|--:|--:|--:|--:|" in text


def test_nothing_is_best_where_nothing_is_done():
    text = section([(case, None) for case in CASES])
    assert "budget" not in text and "the paper's 50 claims" in text
    assert summary.within_budgets(rows([(case, made(case, status="oom")) for case in CASES])) == []


def section(found):
    return summary.section({("shapes", "dino"): rows(found)}, found)


def test_every_claim_is_counted_once_and_as_the_claims_table_says():
    everything = [(case, made(case)) for case in matrix.cases(matrix.load(), "pocket")]
    found = counts(everything)
    assert all(
        verdicts.total() == len(publication.claims()) and set(verdicts) <= set(VERDICTS) for verdicts in found.values()
    )
    table = [line.split(" | ") for line in claims.section(everything).splitlines() if line.startswith("| ")][1:]
    own, headline, protocol = found.values()
    assert own["hold"] == sum(row[2].startswith("**holds**") for row in table)
    assert own["fail"] == sum(row[2].startswith("**contradicted**") for row in table)
    assert protocol["hold"] == sum(row[3].startswith("**holds**") for row in table)
    assert protocol["fail"] == sum(row[3].startswith("**fails**") for row in table)
    as_left = [row[3] if row[4].startswith("same as the column to the left") else row[4] for row in table]
    assert headline["hold"] == sum(told.startswith("**holds**") for told in as_left)
    assert headline["fail"] == sum(told.startswith("**fails**") for told in as_left)


def test_without_records_no_claim_is_tested():
    own, *measured = counts([(case, None) for case in CASES]).values()
    untestable = sum(bool(claim.untestable) for claim in publication.claims())
    full_size = [
        one for one in publication.claims() if not one.untestable and all(c.quantity == "size" for c in one.tests)
    ]
    for found in measured:
        # Sizes are those of full-size students, which need no record.
        assert found["not tested"] == len(publication.claims()) - untestable - len(full_size)
        assert found["not testable"] == untestable
    assert own["hold"] > 0 and own["fail"] > 0


def test_the_summary_says_how_many_claims_are_decided_by_sizes_in_every_run(tmp_path, monkeypatch):
    nothing = counts([(case, None) for case in CASES])["in this run, by the headline accuracy"]
    hold, fail = nothing["hold"], nothing["fail"]
    decided = f"include {hold + fail} claims ({hold} hold, {fail} fail) about nothing but sizes"
    for found in ([(case, None) for case in CASES], chosen()):
        assert decided in section(found)
    # ResNet-18 is larger than a linear layer; a claim with an accuracy in it needs a record.
    larger = "{size: {teacher: clip, student: resnet}, over: {student: projection}, above: 1}"
    found = [claim for tests in ([larger], [larger, ABOVE], [ABOVE]) for claim in written(tmp_path, *tests)]
    monkeypatch.setattr(publication, "claims", lambda: found)
    assert "include 1 claims (1 hold) about nothing but sizes" in section(chosen())


def test_of_a_run_without_the_papers_teachers_nothing_is_held_against_the_paper():
    """A sentence says so, instead of columns that are full of "not run"."""
    own = [
        (dataclasses.replace(case, teacher="efficientnet", dataset="tiny-imagenet"), found) for case, found in chosen()
    ]
    counted = section(own).splitlines()
    assert [line.split(" | ")[0] for line in counted if line.startswith("| on ")] == ["| on the paper's own tables"]
    assert not [line for line in counted if line.startswith("| in this run")]
    assert counted[-1].endswith("No claim is about the cases of this run.")
    assert "no case of this run**: the claims are about the paper's teachers, of which it has none" in claims.section(
        own
    )
    text = tables.printed_and_measured(own)
    assert "Model Size (MB), ours" in text and "measured (%)" not in text and "not run" not in text
    assert "k-NN top-1, measured (%)" in tables.printed_and_measured(chosen())
