"""The paper's tables: printed and measured in the paper's layout, and what full-size models cost."""

import re
from dataclasses import replace

import pytest

from bench.plan import matrix
from bench.report.content import Report
from bench.report.paper import tables
from tests.bench.made import made

CASES = matrix.cases(matrix.load(), "pocket")
FAILED = {
    "scenes-clip-resnet-5ep": "oom",
    "scenes-clip-densenet-5ep": "failed",
    "shapes-beit-attention-10ep": "crashed",
}
MEASURED = "Paper's accuracy, measured (%)"


def rows_of(heading, cases):
    part = tables.section(Report("pocket", cases)).split(f"### {heading}")[1].split("\n#")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in part.splitlines() if line.startswith("|")]


def run(profile, **options):
    """What is measured in the paper's first table for a training of five epochs and one of ten."""
    cases = [(case, made(case, **options)) for case in matrix.cases(matrix.load(), profile)]
    rows = rows_of("Figure 1", cases)
    return [dict(zip(rows[0], row, strict=True)) for row in rows if row[0] == MEASURED]


def test_the_first_table_has_its_own_layout_and_printed_values():
    rows = rows_of("Figure 1", [(case, made(case)) for case in CASES])
    assert rows[0][1:3] == ["SimpleProjection CLIP", "SimpleProjection BLIP"] and len(rows[0]) == 13
    printed = [" ".join(row[1:]) for row in rows if row[0] == "Accuracy, printed (%)"]
    assert printed == [
        "72.08 29.76 72.3 48.3 72 57.12 72.42 48.64 59.06 33.9 54.12 41.04",
        "72.42 28.2 72.72 42.42 72 34.8 72.34 66.34 64.62 51.24 56.98 56.82",
    ]


def test_the_second_table_keeps_its_out_of_memory():
    rows = rows_of("Figure 2", [])
    printed = [row for row in rows if row[0] == "Accuracy, printed (share)"]
    assert printed[0][-4:] == ["Out of Memory", "0.7150", "Out of Memory", "0.7470"]
    assert rows[0][7] == "CBAM DINO" and printed[0][7] == "–"


def test_failures_are_shown_as_what_they_were_and_never_blank():
    cases = [
        (case, None if "blip-cbam" in case.id else made(case, status=FAILED.get(case.id, "done"))) for case in CASES
    ]
    cells = next(row for row in rows_of("Figure 1", cases) if row[0] == MEASURED)
    assert cells[1] == "97.3" and "" not in cells and {"out of memory", "failed", "not run"} <= {*cells}


def test_seeds_are_averaged():
    cases = matrix.cases(matrix.load(), "pocket", seeds=(0, 1))
    chosen = [(case, made(case, metrics={"paper_accuracy": 90.0 + 4 * case.seed})) for case in cases]
    assert next(row for row in rows_of("Figure 1", chosen) if row[0] == MEASURED)[1:] == ["92.0"] * 12


def test_losses_that_are_compared_are_not_averaged():
    short, long = run("losses")
    # The profile has densenet from clip for ten epochs.
    assert {title for title, cell in long.items() if cell == "several losses"} == {"DenseNet-based CLIP"}
    cells = {*short.values(), *long.values()}
    assert "not run" in cells and "several losses" not in short.values() and "97.3" not in cells


def test_of_two_caption_sets_of_a_teacher_the_papers_counts():
    cases = [case for case in CASES if case.dataset == "scenes"]
    chosen = [(case, made(case, metrics={"paper_accuracy": 80.0})) for case in cases]
    chosen += [(replace(case, dataset="coco"), made(case, metrics={"paper_accuracy": 40.0})) for case in cases]
    assert next(row for row in rows_of("Figure 1", chosen) if row[0] == MEASURED)[1:] == ["40.0"] * 12


@pytest.mark.parametrize("own", [True, False])
def test_measured_lines_need_students_of_the_papers_teachers(own):
    cases = [case if own else replace(case, teacher="efficientnet", dataset="tiny-imagenet") for case in CASES]
    text = tables.section(Report("pocket", [(case, made(case)) for case in cases]))
    assert "Model Size (MB), ours" in text and ("k-NN top-1, measured (%)" in text) == own


def test_the_full_size_table_has_head_sizes_and_what_is_deployed():
    text = tables.full_size(Report("pocket", []))
    line = next(row for row in text.splitlines() if row.startswith("| coco | projection") and "clip" in row)
    assert "262,656" in line and "1.002" in line
    assert 330 < float(line.split("|")[-3].replace(",", "")) < 340
    assert re.search(r"\| tiny-imagenet \| resnet \| 11,275,200 \| 43.011 \| 43.03 \|", text)
