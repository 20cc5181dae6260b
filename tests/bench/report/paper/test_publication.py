"""reports/paper.yaml: what is read from it, and what its errors say."""

import re

import pytest

from bench import __main__ as command
from bench.kit.errors import LocatedError
from bench.report.paper import publication
from bench.report.paper.full_sizes import full_sizes
from tests.bench.report.paper.claimed import ABOVE, TABLES, TEXT, written

CELL = "{teacher: blip, student: cbam, epochs: 5}"
CLAIM = "claims:\n- {id: mine, where: 5.1 x, says: it does, untestable: a reason}\n"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", r"paper.yaml:1:1: expected a mapping"),
        ("[]", r"paper.yaml:1:1: expected a mapping"),
        ("tables: 3", r"paper.yaml:1:9: tables: .*valid list"),
        ("tables: []\ncolumns: {}", r"paper.yaml:1:9: tables: .*at least 1 item"),
        (TEXT.replace("columns: {", "columns: [{", 1).replace("}\n", "}]\n", 1), r"paper.yaml:\d+:10: columns: .*dictionary"),
        (TEXT.replace("dataset: coco", "dataset: 5"), r"paper.yaml:\d+:14: tables.0.dataset: .*valid string"),
        (TEXT.replace("    features: 512\n", ""), r"paper.yaml:\d+:5: missing key 'features'"),
        (TEXT.replace("kind: captions", "kind: caption"), r"paper.yaml:\d+:11: tables.0.kind: .*'classification' or 'captions'"),
        (TEXT.replace("    features: 512\n", "    features: 512\n    sizemb: {}\n"), r"paper.yaml:\d+:5: unknown key 'sizemb', did you mean 'size_mb'"),
        (TEXT + "\ncolums: {}\n", r"paper.yaml:\d+:1: unknown key 'colums', did you mean 'columns'"),
        (TEXT.replace('"72.08"', "72.08"), r"paper.yaml:\d+:28: tables.0.accuracy.5.clip.projection: .*valid string"),
        (TABLES, r"paper.yaml:\d+:1: missing key 'claims'"),
        (TABLES + "claims: 3", r"paper.yaml:\d+:9: claims: expected a list, got 3"),
        (TABLES + "claims: {a: 1}", r"paper.yaml:\d+:1: claims: expected a list"),
        (TABLES + "claims:", r"paper.yaml:\d+:8: claims: expected a list"),
        (TABLES + "claims: [5]", r"paper.yaml:\d+:10: claim number 1: claims.0: .*valid dictionary"),
        (TABLES + CLAIM + CLAIM.partition("\n")[2], r"paper.yaml:\d+:3: claim 'mine': there is another claim with this id"),
    ],
)  # fmt: skip
def test_a_faulty_file_is_an_error_message(tmp_path, monkeypatch, capsys, content, says):
    (tmp_path / "paper.yaml").write_text(content)
    monkeypatch.setattr(publication, "PATH", tmp_path / "paper.yaml")
    for kept in (publication.paper, full_sizes):
        kept.cache_clear()
    assert command.main(["sizes"]) == 2
    message = capsys.readouterr().err
    assert message.startswith("error: paper.yaml:") and re.search(says, message) and "Traceback" not in message


@pytest.mark.parametrize(
    ("test", "message"),
    [
        ("{accuracy: {teacher: blip, student: cbma, epochs: 5}, above: 0}", "unknown student 'cbma', did you mean 'cbam'?"),
        ("{accuracy: {teacher: blipp, student: cbam, epochs: 5}, above: 0}", "unknown teacher 'blipp', did you mean 'blip'?"),
        ("{accuracy: {teacher: blip, student: cbam, epochs: 7}, above: 0}", "unknown epochs 7, known: 5, 10"),
        ("{accuracy: {teacher: blip, student: [], epochs: 5}, above: 0}", "at least 1 item"),
        ("{accuracy: {teacher: blip, student: cbam}, above: 0}", "accuracy needs the keys teacher, student, epochs"),
        ("{gain: {teacher: blip, student: cbam, epochs: 5}, above: 0}", "gain needs the keys teacher, student; this one has epochs"),
        ("{accurracy: " + CELL + ", above: 0}", "unknown key 'accurracy', did you mean 'accuracy'?"),
        ("{accuracy: " + CELL + ", over: {student: resnet}, minus: {student: resnet}, above: 0}", "at most one of minus and over"),
        ("{accuracy: " + CELL + "}", "a condition needs one quantity"),
        ("{above: 0}", "a condition needs one quantity"),
        ("{accuracy: " + CELL + ", above: much}", "bounds.above: Input should be a valid number, got 'much'"),
        ("{accuracy: " + CELL + ", above: true}", "bounds.above: Input should be a valid number, got True"),
        ("{accuracy: " + CELL + ", minus: {student: [resnet, cbam]}, above: 0}", "'minus' compares a cell with itself"),
        ("{accuracy: " + CELL + ", minus: {students: resnet}, above: 0}", "unknown key 'students', did you mean 'student'?"),
        ("{accuracy: " + CELL + ", minus: , above: 0}", "'minus' may replace teacher, student, epochs; this one replaces nothing"),
        ("{gain: {teacher: blip, student: cbam}, minus: {epochs: 5}, above: 0}", "this one replaces epochs"),
        ("{size: {teacher: blip, student: cbam}, over: teacher, above: 0}", "a teacher itself has no size"),
        ("{size: {teacher: blip, student: cbam}, over: {student: resnet}, about: 1}", "'about' bounds a quantity"),
        ("highest", "expected a mapping"),
    ],
)  # fmt: skip
def test_a_bad_condition_is_an_error_that_names_the_claim(tmp_path, test, message):
    line = TABLES.count("\n") + 6
    with pytest.raises(LocatedError, match=rf"^paper.yaml:{line}:\d+: claim 'mine': .*{re.escape(message)}"):
        written(tmp_path, test)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"where": None}, "claim 'mine': missing key 'where'"),
        ({"says": "5"}, "claim 'mine': claims.0.says: Input should be a valid string, got 5"),
        ({"says": "' '"}, "at least 1 character"),
        ({"id": None}, "claim number 1: missing key 'id'"),
        ({"verdict": "holds"}, "claim 'mine': unknown key 'verdict'"),
        ({"untestable": "a reason"}, "claim 'mine': give either 'tests' or"),
        ({"tests": None}, "claim 'mine': give either 'tests' or"),
    ],
)
def test_a_bad_claim_is_an_error(tmp_path, changes, message):
    fields = {"where": "5.1 x", "id": "mine", "says": "it does", "tests": f"[{ABOVE}]"} | changes
    lines = "\n  ".join(f"{key}: {value}" for key, value in fields.items() if value)
    (tmp_path / "paper.yaml").write_text(f"{TABLES}claims:\n- {lines}\n")
    with pytest.raises(LocatedError, match=re.escape(message)):
        publication.read(tmp_path / "paper.yaml")


def test_quotations_are_short():
    quotations = [part for claim in publication.paper().claims for part in re.findall(r'"([^"]+)"', claim.says)]
    assert len(quotations) > 30 and all(len(part.split()) < 25 for part in quotations)
