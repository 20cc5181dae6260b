"""What a report says of its teachers, its data and its protocol, as the records tell it."""

import pytest

from bench.plan import matrix
from bench.report import pages
from tests.bench.made import made


def page_of(**protocol):
    case = next(case for case in matrix.cases(matrix.load(), "paper") if case.id == "coco-blip-cbam-5ep")
    return pages.page("paper", [(case, made(case, protocol=protocol))], [], None, [])


def test_the_report_says_where_teacher_and_data_come_from():
    splits = {"train": {"images": 117_000}, "test": {"images": 4_999}}
    text = page_of(
        teacher={"source": "Salesforce/blip-itm-base-coco", "revision": "abc123"},
        teacher_weights_sha256="0123456789abcdef",
        train_images=117_000,
        test_images=4_999,
        leakage={"seen": None, "of": 4_999, "basis": "unknown: fine-tuned on COCO captions"},
        data={
            "subset": True,
            "skipped": [{"file": "val2017/7.jpg", "reason": "empty"}],
            "left_out": {"no captions": 3},
            "splits": splits,
        },
    )
    row = next(line for line in text.splitlines() if line.startswith("| blip on coco | Salesforce"))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[1:] == [
        "Salesforce/blip-itm-base-coco", "abc123", "0123456789ab", "117,000", "4,999", "bf16", "unknown: fine-tuned on COCO captions"
    ]  # fmt: skip
    assert "coco: a subset of the official archives; 117,000 train and 4,999 test images prepared." in text
    assert "1 bad images were skipped: val2017/7.jpg. 3 images left out: no captions." in text


def test_seen_evaluation_images_are_counted_where_that_is_known():
    text = page_of(leakage={"seen": 3_790, "of": 5_000, "basis": "ids in dataset_coco.json"}, data=None)
    assert "3790 of 5000: ids in dataset_coco.json" in text


@pytest.mark.parametrize(
    ("classes", "told"),
    [
        (80, "coco: 612 evaluation images, 80 concepts (top-1 chance 1.25 %)."),
        (None, "coco: 612 evaluation images, the number of concepts not recorded."),
    ],
)
def test_chance_of_zero_shot_follows_from_the_recorded_number_of_concepts(classes, told):
    assert told in page_of(zero_shot_images=612, zero_shot_classes=classes)


def test_a_dataset_without_concepts_has_no_zero_shot():
    assert "through the text tower.\n" in page_of(zero_shot_images=None, zero_shot_classes=None)
