"""Sizes against the paper's printed ones and hand counts."""

import json
import subprocess
import sys
from functools import cache

import pytest

from bench import __main__ as command
from bench.kit.errors import LocatedError
from bench.kit.located_yaml import LocatedYaml
from bench.kit.paths import ROOT
from bench.report.paper import publication
from bench.report.paper.full_sizes import full_sizes, paper_sizes

TEXT = publication.PATH.read_text(encoding="utf-8")
TABLES = TEXT[: TEXT.index("claims:")]


def test_at_least_nine_of_the_eleven_agree_to_the_printed_decimals_and_the_rest_within_a_thousandth():
    rows = paper_sizes()
    printed = {(t.dataset, s): text for t in publication.tables() for s, text in t.size_mb.items()}
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


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", r"paper.yaml:1:1: expected a mapping"),
        ("[]", r"paper.yaml:1:1: expected a mapping"),
        ("tables: 3", r"paper.yaml:1:9: tables: .*valid list"),
        ("tables: []\ncolumns: {}", r"paper.yaml:1:9: tables: .*at least 1 item"),
        (TABLES.replace("columns: {", "columns: [{", 1).replace("}\n", "}]\n", 1), r"paper.yaml:\d+:10: columns: .*dictionary"),
        (TABLES.replace("dataset: coco", "dataset: 5"), r"paper.yaml:\d+:14: tables.0.dataset: .*valid string"),
        (TABLES.replace("    features: 512\n", ""), r"paper.yaml:\d+:5: tables.0.features: .*required"),
        (TABLES.replace("kind: captions", "kind: caption"), r"paper.yaml:\d+:11: tables.0.kind: .*'classification' or 'captions'"),
        (TABLES.replace("    features: 512\n", "    features: 512\n    sizemb: {}\n"), r"paper.yaml:\d+:5: tables.0.sizemb: unknown key"),
        (TABLES + "\ncolums: {}\n", r"paper.yaml:\d+:1: colums: unknown key"),
        (TABLES.replace('"72.08"', "72.08"), r"paper.yaml:\d+:28: tables.0.accuracy.5.clip.projection: .*valid string"),
    ],
)  # fmt: skip
def test_a_file_of_the_paper_that_is_empty_or_of_the_wrong_kind_is_an_error_message(
    tmp_path, monkeypatch, capsys, content, says
):
    path = tmp_path / "paper.yaml"
    path.write_text(content)
    with pytest.raises(LocatedError, match=says):
        publication.printed(path)
    monkeypatch.setattr(publication, "PATH", path)
    for kept in (publication._content, full_sizes):
        kept.cache_clear()
    assert command.main(["sizes"]) == 2
    told = capsys.readouterr().err
    assert told.startswith("error: paper.yaml:") and "Traceback" not in told


def test_the_file_of_the_paper_is_read_once(monkeypatch):
    read = []
    monkeypatch.setattr(publication, "_kept", cache(lambda path: read.append(path) or LocatedYaml(path)))
    publication._content.cache_clear()
    assert publication.tables() and publication.claims() and publication.claims()
    assert read == [publication.PATH]


@pytest.mark.parametrize("content", ["a: 1", "claims: 3", "claims: {a: 1}", "claims:"])
def test_claims_that_are_no_list_are_an_error_message(tmp_path, content):
    path = tmp_path / "paper.yaml"
    path.write_text(content)
    with pytest.raises(LocatedError, match=r"paper.yaml:1:\d+: expected 'claims' with a list"):
        publication.claims(path)
