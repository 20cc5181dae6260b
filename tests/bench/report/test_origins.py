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
            "skipped": [{"file": "val2017/7.jpg", "reason": "empty"}],
            "left_out": {"no captions": 3},
            "splits": {"train": {"images": 117_000}, "test": {"images": 4_999}},
        },
    )
    row = next(line for line in text.splitlines() if line.startswith("| blip on coco | Salesforce"))
    assert [cell.strip() for cell in row.strip("|").split("|")][1:] == [
        "Salesforce/blip-itm-base-coco", "abc123", "0123456789ab", "117,000", "4,999", "bf16",
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
    assert f"coco: {says}; 5 test images prepared." in section(leakage={}, data=data)


def test_seen_evaluation_images_are_counted_where_that_is_known():
    text = section(leakage={"seen": 3_790, "of": 5_000, "basis": "ids in dataset_coco.json"}, data=None)
    assert "3790 of 5000: ids in dataset_coco.json" in text
    assert origins.section(Report("paper", [(CASE, None)])) == ""


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
    table = origins.passes(Report("pocket", [*cases])).removesuffix("\n\n</details>").split("\n\n")[-1]
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
    assert origins.passes(Report("pocket", [(SHAPES, None), (OTHER, made(OTHER, status="failed"))])) == ""


def test_controls_have_no_row():
    """The random teacher's pass is as long, and no teacher's."""
    cases = matrix.cases(matrix.load(), "pocket", controls=("random-teacher",))
    control = next(case for case in cases if case.control and case.teacher == "dino")
    assert len(lines(passed(SHAPES, 8.0), passed(control, 7.0, feature_store="r"))) == 1
