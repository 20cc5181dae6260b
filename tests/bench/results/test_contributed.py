"""A contributed run says what its records say; a contribution with a defect, of whatever kind, is refused with its place."""

import pytest

from bench import __main__ as command
from bench.kit.errors import UserError
from bench.kit.paths import ROOT
from bench.results import contributed, leaderboard, record
from tests.bench.results.contributions import DENSENET, LONG, contributable, contribute, edit


@pytest.fixture
def file(tmp_path):
    """A run of three seeds, and a control of the first."""
    control = next(case for case in DENSENET if case.control and (case.epochs, case.seed) == (10, 0))
    entries = [contributable(case, 60.0 + case.seed) for case in LONG]
    return contribute(tmp_path, "mine", [*entries, contributable(control, 55.0)])


def test_a_line_says_what_the_record_says(file):
    lines, faults = contributed.read(file)
    assert not faults and [line.id for line in lines] == sorted(line.id for line in lines) and len(lines) == 4
    line = next(line for line in lines if line.id == LONG[1].id)
    assert (line.protocol, line.dataset, line.student, line.seed, line.reads) == (1, "shapes", "densenet", 1, "pixels")
    assert line.teacher == "beit@777777777777" and line.images == {"train": 2048, "test": 500}
    assert line.recipe["loss"] == "logit-matching" and line.recipe["epochs"] == 10 and line.recipe["control"] is None
    assert not {"dataset", "teacher", "student", "seed", "threads"} & line.recipe.keys()
    assert line.figures["knn_top1"] == 61.0 and line.figures["deployed_mb"] == 1.75
    assert line.fingerprint == LONG[1].fingerprint and line.weights.teacher == "7" * 64
    assert line.environment.software["torch"] and line.environment.hardware["threads"] == 2


def test_a_renewed_run_takes_the_place_of_the_older(file, tmp_path):
    again = contribute(tmp_path, "mine", [contributable(LONG[0], 70.0)])
    assert again == file and {line.figures["knn_top1"] for line in contributed.read(file)[0]} == {
        70.0,
        61.0,
        62.0,
        55.0,
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda line: line.update(protocol="1"), "protocol: Input should be a valid integer"),
        (lambda line: line.pop("seed"), "seed: Field required"),
        (lambda line: line.update(note="best"), "note: Extra inputs are not permitted"),
        (lambda line: line.update(format=9), "its format is 9, and this version reads 1"),
        (lambda line: line.update(teacher="beit"), "teacher: String should match pattern"),
        (lambda line: line.update(teacher="beit@123456789abc"), "weights.teacher is not the sha256 that stands in teacher"),
        (lambda line: line.update(dataset="scenes"), "id is not of its dataset, teacher and student"),
        (lambda line: line.update(fingerprint="none"), "fingerprint: String should match pattern"),
        (lambda line: line["weights"].update(student="f00"), "weights.student: String should match pattern"),
        (lambda line: line["environment"].update(hardware={}), "environment.hardware: Dictionary should have at least 1 item"),
        (lambda line: line["recipe"].pop("loss"), "recipe: missing: loss"),
        (lambda line: line["recipe"].update(trick=1), "recipe: unknown: trick"),
        (lambda line: line["figures"].pop("probe_top1"), "figures: missing: probe_top1"),
        (lambda line: line["figures"].update(knn_top1=101.0), "figures.knn_top1: 101.0 is not a possible value"),
        (lambda line: line["figures"].update(latency_ms_batch_1=-1.0), "figures.latency_ms_batch_1: -1.0 is not a possible value"),
        (lambda line: line["figures"].update(size_mb=float("nan")), "figures.size_mb: nan is not a possible value"),
        (lambda line: line["figures"].update(skill=9.0), "figures.skill: Input should be"),
    ],
)  # fmt: skip
def test_a_defect_in_a_line_is_named_with_its_place(file, change, message):
    edit(file, lambda lines: change(lines[2]))
    lines, [fault] = contributed.read(file)
    assert len(lines) == 3 and fault.startswith(f"mine.jsonl:3: {message}")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            lambda text: text.replace(b'"knn_top1": 61.0', b'"knn_top1": 91.0'),
            "its content is not what its sha256 says",
        ),
        (lambda text: text[:-20], "mine.jsonl:4: Unterminated string"),
        (lambda text: text + b"[" * 100_000, "mine.jsonl:5: "),
        (lambda text: text + b"\xff", "mine.jsonl:5: 'utf-8' codec can't decode"),
        (lambda text: b"", "mine.jsonl is empty"),
    ],
)
def test_a_damaged_or_edited_file_is_named(file, content, message):
    file.write_bytes(content(file.read_bytes()))
    assert message in contributed.read(file)[1][0]


def test_a_case_that_is_there_twice_and_a_seed_that_is_none_are_named(file):
    def change(lines):
        lines.append(lines[1])
        lines[2]["weights"]["student"] = lines[0]["weights"]["student"]

    edit(file, change)
    _, faults = contributed.read_all(file.parent)
    ids = sorted(line.id for line in contributed.read(file)[0][:4])
    assert faults == [
        f"mine.jsonl: {ids[2]} has the weights of {ids[0]}, which has another seed",
        f"mine.jsonl: {ids[1]} is there twice",
    ]


def test_figures_of_another_protocol_do_not_stand_beside_these(file, tmp_path):
    contribute(tmp_path, "other", [contributable(LONG[0])])
    assert contributed.read_all(tmp_path)[1] == []
    edit(tmp_path / "other.jsonl", lambda lines: lines[0].update(protocol=7))
    [fault] = contributed.read_all(tmp_path)[1]
    assert fault.startswith("other.jsonl has figures of protocol 7, which do not stand beside those of 1: run it again")


def own_images(entry):
    entry.case["images"] = {"test": 0.2}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda entry: entry.protocol.pop("version"), "its record is older than the protocol's version 1; run the case again"),
        (own_images, "its images are your own, which nobody else can compare with"),
        (lambda entry: setattr(entry, "status", "failed"), "has no finished case"),
    ],
)  # fmt: skip
def test_a_run_that_nobody_can_compare_with_is_refused(tmp_path, change, message):
    entry = contributable(LONG[0])
    change(entry)
    with pytest.raises(UserError, match=message):
        contribute(tmp_path, "mine", [entry])
    assert not [*tmp_path.glob("*.jsonl")]


def test_a_run_with_a_damaged_record_and_a_name_that_is_no_files_are_refused(tmp_path):
    record.write(contributable(LONG[0]), tmp_path / "run")
    with pytest.raises(UserError, match=r"--name \.\./mine: expected letters, digits and -"):
        contributed.add(tmp_path / "run", "../mine", tmp_path)
    record.path_of(tmp_path / "run", LONG[1].id).write_text("{")
    with pytest.raises(UserError, match="is not a usable record"):
        contributed.add(tmp_path / "run", None, tmp_path)
    with pytest.raises(UserError, match="rnu is no folder; expected a results folder or a published report"):
        contributed.add(tmp_path / "rnu", None, tmp_path)


def test_the_commands_add_a_run_make_the_leaderboard_and_check_both(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(contributed, "FOLDER", tmp_path)
    record.write(contributable(LONG[0]), tmp_path / "run")
    assert command.main(["results", "add", str(tmp_path / "run"), "--name", "mine.jsonl"]) == 0
    assert "mine.jsonl: 1 case" in capsys.readouterr().out
    assert "| densenet | 60.0 | 1 |" in (tmp_path / "README.md").read_text()
    (tmp_path / "leaderboard.csv").write_text("")
    assert command.main(["results", "check"]) == 1 and "python -m bench results table" in capsys.readouterr().err
    assert command.main(["results", "table"]) == 0
    assert command.main(["results", "check"]) == 0 and "1 case of 1 run: whole" in capsys.readouterr().out
    edit(tmp_path / "mine.jsonl", lambda lines: lines[0].update(protocol=7))
    assert command.main(["results", "check"]) == 1 and command.main(["results", "table"]) == 1
    assert command.main(["results", "add"]) == command.main(["results", "check", str(tmp_path)]) == 2


def test_what_the_checkout_ships_is_whole_and_its_leaderboard_current():
    runs, faults = contributed.read_all(ROOT / "results")
    assert runs and not faults and not leaderboard.stale(runs, ROOT / "results")
