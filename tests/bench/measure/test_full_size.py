"""Sizes against the paper's printed ones and hand counts."""

import json
import subprocess
import sys

import pytest

from bench.kit.paths import ROOT
from bench.report.paper import publication
from bench.report.paper.full_sizes import paper_sizes


def test_at_least_nine_of_the_eleven_agree_to_the_printed_decimals_and_the_rest_within_a_thousandth():
    rows = paper_sizes()
    printed = {(t.dataset, s): text for t in publication.paper().tables for s, text in t.size_mb.items()}
    assert len(rows) == len(printed) == 11
    agree = 0
    for row in rows:
        text = printed[row["dataset"], row["student"]]
        decimals = len(text.partition(".")[2])
        if f"{row['size_mb']:.{decimals}f}" == text:
            agree += 1
        else:
            assert row["size_mb"] == pytest.approx(float(text), rel=0.001)
    assert agree >= 9


@pytest.mark.parametrize(
    ("dataset", "student", "by_hand"),
    [
        ("coco", "projection", 2 * (512 * 256 + 256)),
        ("coco", "bottleneck", 2 * (512 * 128 + 128 + 128 * 256 + 256)),
        ("coco", "attention", 2 * (4 * 512 * 512 + 4 * 512 + 512 * 256 + 256)),
        ("coco", "cbam", 2 * (2 * 512 * 32 + 2 * 49) + 2 * (512 * 256 + 256)),
        ("tiny-imagenet", "attention", 4 * 768 * 768 + 4 * 768 + 768 * 256 + 256),
        # 11,176,512 and 6,953,856: the published ResNet-18 (11,689,512) and DenseNet-121 (7,978,856) less their classifiers.
        ("tiny-imagenet", "resnet", 11_689_512 - 513_000 + 512 * 128 + 128 + 128 * 256 + 256),
        ("tiny-imagenet", "densenet", 7_978_856 - 1_025_000 + 1024 * 128 + 128 + 128 * 256 + 256),
    ],
)
def test_parameters_by_hand(dataset, student, by_hand):
    counted = {(row["dataset"], row["student"]): row["parameters"] for row in paper_sizes()}
    assert counted[dataset, student] == by_hand


def test_the_command_prints_json():
    ran = subprocess.run(
        [sys.executable, "-m", "bench", "sizes", "--json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    rows = json.loads(ran.stdout)
    assert len(rows) == 11
    assert set(rows[0]) == {"dataset", "student", "parameters", "size_mb", "paper_mb"}
