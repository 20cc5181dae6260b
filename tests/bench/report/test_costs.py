"""The folded table of what students cost, of one teacher and dataset."""

import pytest

from bench.plan import matrix
from bench.report import teachers
from bench.report.seeds import rows
from tests.bench.made import made

CASES = [
    case
    for case in matrix.cases(matrix.load(), "pocket", seeds=(0, 1))
    if (case.dataset, case.teacher, case.student, case.epochs) == ("shapes", "dino", "cbam", 10)
]


def costs(peaks_mb):
    """The header and the rows of the table, and what stands below it, with a peak for each seed."""
    chosen = [(case, made(case, metrics={"peak_memory_mb": mb})) for case, mb in zip(CASES, peaks_mb, strict=True)]
    text = teachers.section("shapes", "dino", rows(chosen)).split("<summary>Cost</summary>\n\n")[1]
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
