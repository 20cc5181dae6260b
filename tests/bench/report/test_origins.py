"""What a report says of its teachers and its data, as the records have it."""

import pytest

from bench.plan import matrix
from bench.report import origins
from bench.report.content import Report
from tests.bench.made import made

CASE = next(case for case in matrix.cases(matrix.load(), "paper") if case.id == "coco-blip-cbam-5ep")


def section(**protocol):
    return origins.section(Report("paper", [(CASE, made(CASE, protocol=protocol))]))


def test_the_report_says_where_teacher_and_data_come_from():
    text = section(
        teacher={"source": "Salesforce/blip-itm-base-coco", "revision": "abc123"},
        teacher_weights_sha256="0123456789abcdef",
        train_images=117_000,
        test_images=4_999,
        leakage={"seen": None, "of": 4_999, "basis": "unknown: fine-tuned on COCO captions"},
        data={
            "subset": True,
            "archives": [],
            "skipped": [{"file": "val2017/7.jpg", "reason": "empty"}],
            "left_out": {"no captions": 3},
            "splits": {"train": {"images": 117_000}, "test": {"images": 4_999}},
        },
    )
    row = next(line for line in text.splitlines() if line.startswith("| blip on coco | Salesforce"))
    assert [cell.strip() for cell in row.strip("|").split("|")][1:] == [
        "Salesforce/blip-itm-base-coco", "abc123", "0123456789ab", "117,000", "4,999", "bf16", "3.00",
        "unknown: fine-tuned on COCO captions",
    ]  # fmt: skip
    assert "coco: a subset of the official archives; 117,000 train and 4,999 test images prepared." in text
    assert "1 bad images were skipped: val2017/7.jpg. 3 images left out: no captions." in text


@pytest.mark.parametrize(("names", "subset", "says"), [
    (["a.zip", "b.zip"], False, "the official archives in full"), (["a.zip"], True, "a subset of the official archives"),
    (["a.zip", "b"], False, "unpacked folders, not verified against the official archives"),
])  # fmt: skip
def test_the_report_calls_official_only_what_was_verified(names, subset, says):
    archives = [{"name": name, "bytes": 1} for name in names]
    data = {"subset": subset, "archives": archives, "skipped": [], "left_out": {}, "splits": {"test": {"images": 5}}}
    assert f"coco: {says}; 5 test images prepared." in section(data=data)


def test_seen_evaluation_images_are_counted_where_that_is_known():
    text = section(leakage={"seen": 3_790, "of": 5_000, "basis": "ids in dataset_coco.json"})
    assert "3790 of 5000: ids in dataset_coco.json" in text
    assert origins.section(Report("paper", [(CASE, None)])) == ""


SHAPES, OTHER = [case for case in matrix.cases(matrix.load(), "pocket") if case.teacher == "dino"][:2]


def passes(*cases):
    """The seconds of the passes as they stand in each row."""
    text = origins.section(Report("pocket", [*cases]))
    return [line.split(" | ")[7] for line in text.splitlines() if line.startswith("| dino")]


def passed(case, seconds, elsewhere=False):
    """A case and its record, of a pass that was timed here or on another machine."""
    record = made(case, metrics={"teacher_pass_seconds": seconds})
    if elsewhere:
        record.set_time("teacher_pass_seconds", seconds, "NVIDIA X")
    return case, record


@pytest.mark.parametrize(
    ("cases", "seconds"),
    [
        ([passed(SHAPES, 8.0), passed(OTHER, 8.0)], "8.00"),
        ([passed(SHAPES, 8.0), passed(OTHER, 2495.124)], "8.00 and 2,495.12"),
        ([passed(SHAPES, 99.0, elsewhere=True)], "–"),
        ([passed(SHAPES, 99.0, elsewhere=True), passed(OTHER, 8.0)], "8.00"),
        ([passed(SHAPES, 0.0)], "0.00"),
    ],
)
def test_the_seconds_of_each_pass_stand_once_however_many_cases_read_it(cases, seconds):
    assert passes(*cases) == [seconds]


def test_controls_have_no_row():
    """The random teacher's pass is as long, and no teacher's."""
    cases = matrix.cases(matrix.load(), "pocket", controls=("random-teacher",))
    control = next(case for case in cases if case.control and case.teacher == "dino")
    assert passes(passed(SHAPES, 8.0), passed(control, 7.0)) == ["8.00"]
    assert passes((SHAPES, None), (OTHER, made(OTHER, status="failed"))) == []
