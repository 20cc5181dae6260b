"""Records: written whole, read with care."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import matrix, record
from bench.record import Record

CASE = matrix.cases(matrix.load(), "pocket")[0]


def done(**changes):
    entry = Record.of(CASE)
    entry.status, entry.message = "done", ""
    entry.metrics = dict.fromkeys(record.NEEDED, 1.5) | {"knn_top1": 71.5, "peak_memory_mb": None}
    entry.teacher = {"knn_top1": 80.0}
    entry.curve = [{"epoch": 0, "knn_top1": 9.0}]
    entry.curve += [{"epoch": epoch, "epoch_seconds": 0.1, "knn_top1": 50.0} for epoch in range(1, CASE.epochs + 1)]
    for key, value in changes.items():
        setattr(entry, key, value)
    return entry


def test_what_is_written_is_read_again(tmp_path):
    entry = done()
    path = record.write(entry, tmp_path)
    assert path == tmp_path / "records" / f"{CASE.id}.json"
    assert record.read(path) == entry
    assert json.loads(path.read_text())["metrics"]["knn_top1"] == {"value": 71.5, "unit": "%", "direction": "higher"}


def test_only_a_done_record_with_the_same_fingerprint_is_reused(tmp_path):
    record.write(done(), tmp_path)
    assert record.reusable(CASE, tmp_path) is not None
    for status in set(record.STATUSES) - {"done"}:
        record.write(done(status=status), tmp_path)
        assert record.reusable(CASE, tmp_path) is None
    record.write(done(fingerprint="other"), tmp_path)
    assert record.reusable(CASE, tmp_path) is None


def test_a_damaged_record_is_named_and_not_used(tmp_path):
    path = record.write(done(), tmp_path)
    data = path.read_bytes()
    for damaged in (b"", data[: len(data) // 2], b"[]", data.replace(b'"done"', b'"doone"'), b"\xff\xfe"):
        path.write_bytes(damaged)
        with pytest.raises(record.RecordError, match=CASE.id):
            record.read(path)
        assert record.reusable(CASE, tmp_path) is None
        records, faults = record.read_all(tmp_path)
        assert not records and str(path) in faults[0]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"metrics": {"knn_top1": 71.5}}, "lacks parameters"),
        ({"curve": []}, "an entry for each epoch"),
        ({"curve": [{"epoch": epoch} for epoch in range(CASE.epochs + 1)]}, "epochs' seconds"),
        ({"teacher": {}}, "or of the teacher"),
        ({"environment": {}}, "environment"),
    ],
)
def test_a_hollow_record_is_not_taken_for_a_result(tmp_path, change, says):
    path = record.write(done(**change), tmp_path)
    with pytest.raises(record.RecordError, match=says):
        record.read(path)
    assert record.reusable(CASE, tmp_path) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(JSON)
def test_any_json_is_a_record_or_an_error_message(content):
    with pytest.raises(ValueError):
        record.parse(content)


@given(st.sampled_from(["id", "case", "fingerprint", "status", "metrics", "teacher", "curve"]), JSON)
def test_a_record_with_one_part_replaced_never_gives_a_traceback(key, value):
    content = {
        "format": record.FORMAT,
        "id": "x",
        "case": {},
        "fingerprint": "f",
        "status": "done",
        "metrics": {},
        "teacher": {},
        "curve": [],
    }
    with contextlib.suppress(ValueError):
        assert isinstance(record.parse(content | {key: value}), Record)
