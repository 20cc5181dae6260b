"""Records: written whole, read with care."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import matrix, record
from bench.record import Record
from tests.bench.made import made

CASE = matrix.cases(matrix.load(), "pocket")[0]


def done(**changes):
    metrics = {"knn_top1": 71.5, "peak_memory_mb": None} | changes.pop("metrics", {})
    return made(CASE, metrics=metrics, **changes)


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


def test_a_digit_that_flipped_is_noticed(tmp_path):
    path = record.write(done(), tmp_path)
    path.write_text(path.read_text().replace('"value": 71.5', '"value": 75.5', 1))
    with pytest.raises(record.RecordError, match="its content is not what its sha256 says"):
        record.read(path)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"metrics": {"parameters": None}}, "it has no parameters"),
        ({"metrics": {"probe_top1": None}}, "it has no probe_top1"),
        ({"metrics": {"cka": None}}, "it has no cka"),
        ({"curve": []}, "an entry for each epoch"),
        ({"curve": [{"epoch": epoch} for epoch in range(CASE.epochs + 1)]}, "epoch 0 of its curve has no knn_top1"),
        ({"teacher": {}}, "the teacher has no knn_top1"),
        ({"controls": {}}, "the untrained student has no knn_top1"),
        ({"environment": {}}, "environment"),
    ],
)
def test_a_hollow_record_is_not_taken_for_a_result(tmp_path, change, says):
    path = record.write(done(**change), tmp_path)
    with pytest.raises(record.RecordError, match=says):
        record.read(path)
    assert record.reusable(CASE, tmp_path) is None


def test_a_trained_control_needs_no_costs(tmp_path):
    control = next(
        case for case in matrix.cases(matrix.load(), "pocket", controls=("no-distillation",)) if case.control
    )
    entry = made(control)
    assert "parameters" not in entry.metrics
    assert record.read(record.write(entry, tmp_path)) == entry


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(JSON)
def test_any_json_is_a_record_or_an_error_message(content):
    with pytest.raises(ValueError):
        record.parse(content)


@given(
    st.sampled_from(["id", "case", "fingerprint", "status", "metrics", "teacher", "controls", "in_batch", "curve"]),
    JSON,
)
def test_a_record_with_one_part_replaced_never_gives_a_traceback(key, value):
    content = {
        "format": record.FORMAT,
        "id": "x",
        "case": {},
        "fingerprint": "f",
        "status": "done",
        "metrics": {},
        "teacher": {},
        "controls": {},
        "in_batch": {},
        "curve": [],
    }
    with contextlib.suppress(ValueError):
        assert isinstance(record.parse(content | {key: value}), Record)
