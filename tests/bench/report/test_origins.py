"""What a report says of its teachers and its data, as the records have it."""

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


def test_seen_evaluation_images_are_counted_where_that_is_known():
    text = section(leakage={"seen": 3_790, "of": 5_000, "basis": "ids in dataset_coco.json"}, data=None)
    assert "3790 of 5000: ids in dataset_coco.json" in text
    assert origins.section(Report("paper", [(CASE, None)])) == ""
