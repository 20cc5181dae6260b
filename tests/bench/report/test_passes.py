"""The table of the teachers' passes: what the records tell of each, and a dash for what they do not tell."""

import pytest

from bench.plan import matrix
from bench.report import passes
from bench.report.content import Report
from tests.bench.made import made

CASES = {case.id: case for name in ("pocket", "sample") for case in matrix.cases(matrix.load(), name)}
SHAPES, OTHER = CASES["shapes-dino-projection-5ep"], CASES["shapes-dino-projection-10ep"]
IMAGES = {"train_images": 1500, "test_images": 500}


def passed(case, seconds, macs=None, elsewhere=False, **protocol):
    """A case and its record, of a pass over 2,000 images, here or on another machine."""
    record = made(case, metrics={"teacher_pass_seconds": seconds}, protocol=IMAGES | protocol)
    if elsewhere:
        record.set_time("teacher_pass_seconds", seconds, "NVIDIA X")
    if macs:
        record.teacher["macs"] = macs
    return case, record


def lines(*cases):
    table = passes.section(Report("pocket", [*cases])).removesuffix("\n\n</details>").split("\n\n")[-1]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]


def test_rates_are_those_of_all_images_over_all_seconds():
    """2,000 images of 0.3 GMAC in 8 s: 250 a second, 75 GMAC/s; MACs may be in another record of the teacher."""
    row = ["dino on shapes", "bf16", "2,000", "–", "8.00", "250.0", "300 M", "75.0"]
    assert lines(passed(SHAPES, 8.0), passed(OTHER, 8.0, macs=3e8)) == [row]


@pytest.mark.parametrize(
    ("splits", "expected"),
    [
        ({"train": {"images": 1500, "captions": 7500}, "test": {"images": 500, "captions": 2501}}, "10,001"),
        ({"train": {"images": 1501, "captions": 7505}, "test": {"images": 500, "captions": 2501}}, "not recorded"),
        ({"train": {"images": 1500}, "test": {"images": 500}}, "not recorded"),
        (None, "not recorded"),
    ],
)
def test_captions_are_counted_where_all_that_was_prepared_was_used_and_leave_no_macs_per_second(splits, expected):
    data = splits and {"subset": False, "skipped": [], "left_out": {}, "splits": splits}
    row = ["clip on coco", "bf16", "2,000", expected, "8.00", "250.0", "4.4 G", "–"]
    assert lines(passed(CASES["coco-clip-cbam-5ep"], 8.0, macs=4.4e9, test_captions=2501, data=data)) == [row]


def test_a_pass_has_one_row_however_many_cases_read_it_and_each_store_its_own():
    one, same, other = (passed(SHAPES, 8.0, feature_store=name) for name in ("a", "a", "b"))
    assert [row[4] for row in lines(one, same)] == ["8.00"] and len(lines(one, same, other)) == 2


def test_a_pass_that_another_machine_timed_has_no_rates():
    elsewhere = passed(SHAPES, 99.0, macs=3e8, elsewhere=True)
    assert [row[4:] for row in lines(elsewhere)] == [["–", "–", "300 M", "–"]]
    assert [row[4] for row in lines(elsewhere, passed(OTHER, 8.0))] == ["8.00"]


def test_a_record_that_tells_little_gives_dashes_and_no_record_no_section():
    bare = made(SHAPES, metrics={"teacher_pass_seconds": 0.0})
    assert lines((SHAPES, bare)) == [["dino on shapes", "bf16", "–", "–", "0.00", "–", "–", "–"]]
    assert passes.section(Report("pocket", [(SHAPES, None), (OTHER, made(OTHER, status="failed"))])) == ""


def test_controls_have_no_row():
    """The random teacher's pass is as long, and no teacher's."""
    cases = matrix.cases(matrix.load(), "pocket", controls=("random-teacher",))
    control = next(case for case in cases if case.control and case.teacher == "dino")
    assert len(lines(passed(SHAPES, 8.0), passed(control, 7.0, feature_store="r"))) == 1
