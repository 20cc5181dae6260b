"""Records: written whole, read with care, and published as one file."""

import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import report
from bench.kit.files import seal, unseal
from bench.kit.paths import ROOT
from bench.plan import matrix
from bench.results import record
from bench.results.record import STATUSES, Record
from tests.bench.made import made

CASES = matrix.cases(matrix.load(), "pocket")
CASE = CASES[0]


def done(**changes):
    metrics = {"knn_top1": 71.5, "peak_memory_mb": None} | changes.pop("metrics", {})
    return made(CASE, metrics=metrics, **changes)


def content_of(entry):
    """What the file of a record says."""
    return json.loads(json.dumps(entry.model_dump(warnings=False)))


def changed(content, path, value):
    """A copy with another value at a path of keys, like "environment.hardware.precision"."""
    first, _, rest = path.partition(".")
    return content | {first: changed(content.get(first, {}), rest, value) if rest else value}


def test_what_is_written_is_read_again(tmp_path):
    begun, entry = Record.of(CASE), done()
    assert record.read(record.write(begun, tmp_path)) == begun
    path = record.write(entry, tmp_path)
    assert path == tmp_path / "records" / f"{CASE.id}.json"
    assert record.read(path) == entry == record.load(tmp_path, CASE.id)
    assert json.loads(path.read_text())["metrics"]["knn_top1"] == {"value": 71.5, "unit": "%", "direction": "higher"}


def test_only_a_done_record_with_the_same_fingerprint_is_reused(tmp_path):
    assert record.reusable(CASE, tmp_path) is None
    record.write(done(), tmp_path)
    assert record.reusable(CASE, tmp_path) is not None
    for change in [{"fingerprint": "other"}, *({"status": status} for status in set(STATUSES) - {"done"})]:
        record.write(done(**change), tmp_path)
        assert record.reusable(CASE, tmp_path) is None


def test_a_damaged_record_is_named_and_not_used(tmp_path):
    path = record.write(done(), tmp_path)
    data, older = path.read_bytes(), seal(unseal(path.read_text()) | {"format": 1}).encode()
    flipped = data.replace(b'"value": 71.5', b'"value": 75.5', 1)
    for damaged, says in (
        (b"", "Expecting value"),
        (data[: len(data) // 2], "(Expecting|Unterminated)"),
        (b"[]", "expected an object"),
        (b"\xff\xfe", "decode"),
        (b"[" * 100_000, "recursion"),
        (flipped, "its content is not what its sha256 says"),
        (older, f"its format is 1, and this version reads {record.FORMAT}"),
    ):
        path.write_bytes(damaged)
        with pytest.raises(record.RecordError, match=rf"{CASE.id}\.json is not a usable record \(.*{says}"):
            record.read(path)
        log = []
        assert record.reusable(CASE, tmp_path, log.append) is None and len(log) == 1
        records, faults = record.read_all(tmp_path)
        assert not records and faults == log


def test_a_published_report_has_its_records_in_one_file_that_is_the_same_for_the_same_records(tmp_path):
    entries = [made(case) for case in CASES[:3]]
    path = record.publish(entries, tmp_path)
    data = path.read_bytes()
    assert path == tmp_path / "records.jsonl.gz" == record.publish(reversed(entries), tmp_path)
    assert path.read_bytes() == data
    records, faults = record.read_all(tmp_path)
    assert records == {entry.id: entry for entry in entries} and list(records) == sorted(records) and not faults
    assert record.load(tmp_path, CASES[1].id) == entries[1] == record.reusable(CASES[1], tmp_path)
    assert record.load(tmp_path, CASES[3].id) is None
    # What is run into the same folder afterwards is newer.
    record.write(entries[0].model_copy(update={"status": "failed"}), tmp_path)
    assert record.read_all(tmp_path)[0][CASES[0].id].status == "failed" == record.load(tmp_path, CASES[0].id).status
    assert record.reusable(CASES[0], tmp_path) is None


def test_damage_to_a_published_file_is_named_by_its_line_or_as_a_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(record, "seal", lambda content, indent: seal(content, indent).replace("71.5", "75.5"))
    path = record.publish([done(), made(CASES[1])], tmp_path)
    records, faults = record.read_all(tmp_path)
    assert list(records) == [CASES[1].id] and len(faults) == 1
    assert f"of {path} is not a usable record (its content is not what its sha256 says" in faults[0]
    data, chance = path.read_bytes(), random.Random(0)
    for _ in range(200):
        place = chance.randrange(10, len(data))
        path.write_bytes(data[:place] + bytes([data[place] ^ 1 << chance.randrange(8)]) + data[place + 1 :])
        again = record.read_all(tmp_path)
        # Some bits at the end of a stream say nothing.
        assert again == (records, faults) or (again[0] == {} and again[1][0].startswith(f"{path} cannot be read"))


@pytest.mark.parametrize("profile", sorted(path.parent.name for path in (ROOT / "reports").glob("*/report.md")))
def test_published_records_are_read(profile):
    records, faults = record.read_all(ROOT / "reports" / profile)
    assert records and not faults and not (ROOT / "reports" / profile / "records").exists()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"metrics": {"parameters": None}}, "it has no parameters"),
        ({"metrics": {"probe_top1": None}}, "it has no probe_top1"),
        ({"metrics": {"cka": None}}, "it has no cka"),
        ({"metrics": {"epoch_seconds": None}}, "it has no epoch_seconds"),
        ({"curve": []}, "an entry for each epoch"),
        ({"curve": [{"epoch": epoch} for epoch in range(CASE.epochs + 1)]}, "epoch 0 of its curve has no knn_top1"),
        ({"teacher": {}}, "the teacher has no knn_top1"),
        ({"controls": {}}, "the untrained student has no knn_top1"),
        ({"environment": {}}, "environment"),
        ({"in_batch": {"teacher": [[2, 1.0]]}}, "batch sizes from 1"),
        ({"in_batch": {"student": [[0, 1.0]]}}, "batch sizes from 1"),
    ],
)
def test_a_hollow_record_is_not_taken_for_a_result(tmp_path, change, says):
    with pytest.raises(record.RecordError, match=says):
        record.read(record.write(done(**change), tmp_path))
    assert record.reusable(CASE, tmp_path) is None


def test_a_trained_control_needs_no_costs(tmp_path):
    control = next(
        case for case in matrix.cases(matrix.load(), "pocket", controls=("no-distillation",)) if case.control
    )
    entry = made(control)
    assert "parameters" not in entry.metrics
    assert record.read(record.write(entry, tmp_path)) == entry


def test_a_time_of_another_machine_is_left_out_with_a_note(tmp_path):
    entry = done()
    own = f"cpu ({entry.environment['hardware']['processor']}, 2 threads)"
    entry.set_time("teacher_pass_seconds", 5.0, own)
    assert entry.metrics["teacher_pass_seconds"] == 5.0 and not entry.notes
    entry.set_time("epoch_seconds", 9.0, "NVIDIA X (Some CPU, 2 threads)")
    again = record.read(record.write(entry, tmp_path))
    assert again.metrics["epoch_seconds"] is None
    assert again.noted() == {"epoch_seconds": again.notes[0]} and "NVIDIA X (Some CPU, 2 threads)" in again.notes[0]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("message", 3), ("started", 3), ("seconds", "x"), ("seconds", True), ("id", None), ("status", "doone"), ("format", 2),
        ("more", 1), ("case", 3), ("protocol", 3), ("environment", 3), ("notes", [3]),
        ("in_batch", {"student": 3}), ("in_batch", {"student": [[1]]}), ("in_batch", {"student": [["2", 1.0]]}),
        ("in_batch", {"student": []}), ("in_batch", {"pupil": [[2, 1.0]]}), ("curve", [3]), ("curve", [{"epoch": "0"}]),
        ("metrics", {"knn_top7": {"value": 1.0}}), ("metrics", {"knn_top1": {}}), ("metrics.knn_top1", {"value": "1"}),
        ("metrics.knn_top1", {"value": True}), ("controls.shuffled", {"knn_top1": {"value": None}}),
    ],
)  # fmt: skip
@pytest.mark.parametrize("status", ["done", "failed"])
def test_a_part_of_the_wrong_kind_is_named(tmp_path, path, value, status):
    file = tmp_path / "x.json"
    content = changed(content_of(done(status=status)), path, value)
    file.write_text(seal(content))
    with pytest.raises(record.RecordError, match=path.split(".")[0]) as caught:
        record.read(file)
    assert len(str(caught.value)) - len(str(file)) < 600 and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("metrics.knn_top1.value", float("nan")), ("metrics.cka.value", float("inf")), ("metrics.knn_top1.value", 10**400),
        ("teacher.knn_top1.value", float("nan")), ("controls.untrained.knn_top1.value", -float("inf")),
        ("seconds", float("nan")), ("in_batch.student", [[2, float("nan")]]), ("protocol.chance", {"knn_top1": float("inf")}),
    ],
)  # fmt: skip
def test_a_number_that_nothing_measures_is_refused_in_a_finished_record_only(path, value):
    with pytest.raises(ValueError, match=rf"{path.removesuffix('.value').split('.')[0]}.* is not a possible value"):
        Record.model_validate(changed(content_of(done()), path, value))
    # What went wrong must stay to be read.
    failed = Record.model_validate(changed(content_of(done(status="failed", message="nan")), path, value))
    assert failed.message == "nan"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def check_json(content):
    with pytest.raises(ValueError):
        Record.model_validate(content)


ANY_JSON = given(content=JSON)
test_any_json_is_a_record_or_an_error_message = settings(max_examples=20)(ANY_JSON(check_json))
test_any_json_at_length = pytest.mark.slow(ANY_JSON(check_json))


PARTS = ["message", "started", "seconds", "in_batch", "in_batch.student", "metrics", "teacher", "controls",
         "controls.shuffled", "curve", "id", "fingerprint", "status", "notes"]  # fmt: skip


@given(st.sampled_from(PARTS), JSON)
@settings(max_examples=15)
def test_a_finished_record_with_one_part_replaced_is_refused_or_can_be_reported(tmp_path_factory, part, value):
    folder = tmp_path_factory.mktemp("replaced")
    try:
        entry = Record.model_validate(changed(content_of(done()), part, value))
    except ValueError:
        return
    record.publish([entry], folder)
    assert report.write(folder, (CASE,), "pocket")[0].exists()
