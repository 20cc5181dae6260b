"""The part of one teacher: accuracies with gains over controls, what needs no student, and cost."""

import pytest

from bench.plan import matrix
from bench.report import teachers
from bench.report.content import Report
from bench.report.teachers import of_pair
from tests.bench.made import made
from tests.bench.report.seeded import rows, seeded


def part(cases):
    return of_pair("shapes", "dino", rows(cases))


def test_it_shows_gains_controls_and_references():
    cases = seeded()
    for _, record in cases:
        record.controls["raw-pixels"] = {"knn_top1": 33.0}
        record.teacher["deployed_mb"] = 1.5
    text = part(cases)
    table = text.split("<details>")[0]
    assert "k-NN top-1 (%), n = 3 | gain over untrained | over no distillation | over a random teacher" in table
    assert "| **dino itself** | – | 65.0 | – | – | – | – | 1.50 |" in table and "| raw pixels | – | 33.0 |" in table
    assert "| projection | 10 | 61.0 ± 1.0 | **+11.0 ± 1.0** | +1.0 ± 2.0 | **+41.0 ± 1.7** | 0.25 | 1.75 |" in table
    assert "| **cbam**" not in table and "**71.2 ± 1.0**" in table
    assert "projection, no distillation" in text and "projection, untrained" in text and "linear CKA" in text


def test_with_one_seed_nothing_is_bold_and_no_number_of_seeds_is_named():
    text = part(seeded(seeds=(0,)))
    lines = [line for line in text.splitlines() if line.startswith(("| projection", "| cbam"))]
    assert lines and not any("**" in line for line in lines) and "n =" not in text


def test_a_case_that_is_not_done_says_what_happened_and_a_missing_seed_is_named():
    cases = seeded()
    records = [record for case, record in cases if case.student == "cbam"]
    records[2].status = "failed"
    assert "| cbam | 10 | **70.8 ± 1.1** (n = 2) |" in part(cases)
    for record in records:
        record.status = "oom"
    assert "| cbam | 10 | out of memory | – | – | – | – | – |" in part(cases)


def costs(peaks_mb):
    """The header and the rows of the table, and what stands below it, with a peak for each seed."""
    cases = matrix.cases(matrix.load(), "pocket", seeds=(0, 1))
    cases = [case for case in cases if case.id.startswith("shapes-dino-cbam-10ep")]
    records = [made(case, metrics={"peak_memory_mb": peak}) for case, peak in zip(cases, peaks_mb, strict=True)]
    text = part(list(zip(cases, records, strict=True))).split("<summary>Cost</summary>\n\n")[1]
    table, _, note = text.removesuffix("\n\n</details>").partition("\n\n")
    header, _, *lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    return header, lines, note


def test_the_peak_is_the_mean_over_seeds_and_the_teacher_has_none():
    header, (own, student), note = costs((1000.0, 1202.0))
    column = header.index("peak MB")
    assert (own[0], own[column]) == ("**dino itself**", "–")
    assert (student[:2], student[column]) == (["cbam", "10"], "1,101")
    assert "on a CPU the resident memory of the whole process" in note and "on CUDA what PyTorch" in note


@pytest.mark.parametrize("peaks_mb", [(None, None), (1000.0, None)])
def test_a_peak_that_a_system_does_not_tell_is_no_column_and_needs_no_note(peaks_mb):
    header, _, note = costs(peaks_mb)
    assert header[-1] == "s / epoch" and note == ""


CURVE = [10.0, 30.0, 50.0, 48.0, 52.0, 53.0, 54.0, 55.0, 55.5, 56.0, 57.0, *[60.0 + 0.3 * step for step in range(90)]]


def further_training(profile, seeds=(0,), done=True, every=1):
    cases = []
    for case in matrix.cases(matrix.load(), profile, seeds=seeds):
        if case.run.startswith("shapes-dino-resnet"):
            curve = [{"epoch": epoch} for epoch in range(case.epochs + 1)]
            for entry in (*curve[::every], curve[-1]):
                entry["knn_top1"] = CURVE[entry["epoch"]] + case.seed
            cases.append((case, made(case, curve=curve) if done else None))
    return teachers.further_training(Report(profile, cases))


def test_only_the_longest_training_is_shown_with_its_gain_over_the_papers():
    text = further_training("long")
    assert "| best on the way | within 1 point from epoch |" in text
    assert [line for line in text.splitlines() if line.startswith("| resnet")] == [
        "| resnet of dino on shapes, 100 epochs | 57.0 | 86.7 | +29.7 | 86.7 | 97 |"
    ]


def test_between_two_points_of_the_curve_nothing_is_claimed():
    assert "| – | 86.7 | – | 86.7 | 99 |" in further_training("long", every=33)


def test_over_seeds_it_is_a_mean_with_its_spread():
    assert "| 57.5 ± 0.7 | 87.2 ± 0.7 | **+29.7 ± 0.0** |" in further_training("long", seeds=(0, 1))


def test_a_profile_that_trains_no_longer_than_the_paper_says_nothing():
    assert further_training("pocket") == "" and further_training("long", done=False) == ""


def test_near_the_end_looks_at_what_follows():
    assert teachers.near_the_end({0: 0.0, 1: 10.0, 2: 5.0, 3: 9.5, 4: 10.0}) == 3
    assert teachers.near_the_end({0: 10.0, 1: 10.0}) == 0 and teachers.near_the_end({0: 1.0, 1: 10.0}) == 1
    assert teachers.near_the_end({0: 0.0, 5: 8.0, 10: 9.5, 12: 10.0}) == 10  # between points nothing is known
