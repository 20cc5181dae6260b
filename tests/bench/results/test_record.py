"""Records: written whole, read with care."""

import contextlib
import json
import random

import pytest
from bench.results.record_schema import FORMAT, STATUSES
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from bench import report
from bench.kit.checksum import seal, unseal
from bench.kit.paths import ROOT
from bench.plan import matrix
from bench.results import record
from bench.results.record import Record
from tests.bench.made import made

CASE = matrix.cases(matrix.load(), "pocket")[0]
DATA = {"subset": True, "skipped": [], "left_out": {}, "splits": {"train": {"images": 1, "captions": 5}}}


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
    for status in set(STATUSES) - {"done"}:
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


def changed(content, path, value):
    """A copy with another value at a path of keys, like "environment.hardware.precision"."""
    first, _, rest = path.partition(".")
    return content | {first: changed(content.get(first, {}), rest, value) if rest else value}


def content_of(entry, folder):
    return unseal(record.write(entry, folder).read_text())


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("message", 3), ("started", 3), ("seconds", "x"), ("seconds", True), ("id", None), ("status", "doone"), ("format", 2),
        ("more", 1), ("case.controls", 3), ("case.epochs", "10"), ("protocol", 3), ("protocol.probe", 3),
        ("protocol.probe", {}), ("protocol.teacher", 3), ("protocol.leakage", {"seen": 1}), ("protocol.leakage", 3),
        ("protocol.chance", {"knn_top1": "x"}), ("protocol.zero_shot_classes", 0), ("protocol.train_images", "x"),
        ("protocol.data", {"subset": True}), ("environment", 3), ("environment.hardware", 3), ("environment.git", 3),
        ("protocol.data", DATA | {"splits": {"train": {"images": 1, "captions": "5"}}}),
        ("protocol.features", 3), ("environment.hardware.precision", 3), ("environment.software", {"torch": 3}),
        ("in_batch", {"student": 3}), ("in_batch", {"student": [[1]]}), ("in_batch", {"student": [["2", 1.0]]}),
        ("in_batch", {"student": []}), ("in_batch", {"pupil": [[2, 1.0]]}), ("curve", [3]), ("curve", [{"epoch": "0"}]),
        ("metrics", {"knn_top7": {"value": 1.0}}), ("metrics", {"knn_top1": 1.0}), ("metrics", {"knn_top1": {}}),
        ("metrics.knn_top1", {"value": "1"}), ("metrics.knn_top1", {"value": True}),
        ("controls.shuffled", {"knn_top1": {"value": None}}),
    ],
)  # fmt: skip
@pytest.mark.parametrize("status", ["done", "failed"])
def test_a_part_of_the_wrong_kind_is_named(tmp_path, path, value, status):
    with pytest.raises(ValueError, match=path.split(".")[0]) as caught:
        record.parse(changed(content_of(done(status=status), tmp_path), path, value))
    assert len(str(caught.value)) < 600 and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("metrics.knn_top1.value", float("nan")), ("metrics.cka.value", float("inf")), ("metrics.knn_top1.value", 10**400),
        ("teacher.knn_top1.value", float("nan")), ("controls.untrained.knn_top1.value", -float("inf")),
        ("seconds", float("nan")), ("in_batch.student", [[2, float("nan")]]), ("protocol.chance", {"knn_top1": float("inf")}),
    ],
)  # fmt: skip
def test_a_number_that_nothing_measures_is_refused_in_a_finished_record_only(tmp_path, path, value):
    with pytest.raises(ValueError, match="no number that can be measured"):
        record.parse(changed(content_of(done(), tmp_path), path, value))
    # What went wrong must stay to be read.
    assert (
        record.parse(changed(content_of(done(status="failed", message="nan"), tmp_path), path, value)).message == "nan"
    )


@pytest.mark.parametrize("in_batch", [{"teacher": [[2, 1.0]]}, {"student": [[0, 1.0]]}])
def test_accuracy_over_no_batch_is_refused(tmp_path, in_batch):
    with pytest.raises(ValueError, match="batch sizes from 1"):
        record.parse(content_of(done(in_batch=in_batch), tmp_path))


def test_a_record_that_was_just_begun_is_read(tmp_path):
    entry = Record.of(CASE)
    assert record.read(record.write(entry, tmp_path)) == entry
    least = {key: value for key, value in content_of(entry, tmp_path).items() if key not in
             ("message", "protocol", "environment", "started", "seconds")}  # fmt: skip
    assert record.parse(least).status == "crashed"


@pytest.mark.parametrize("profile", ["pocket", "losses", "long"])
def test_published_records_are_read(profile):
    paths = sorted((ROOT / "reports" / profile / "records").glob("*.json"))
    for path in paths[:: max(1, len(paths) // 5)]:
        assert record.read(path).status == "done"
    assert paths


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
        "format": FORMAT,
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


PARTS = ["protocol", "protocol.probe", "protocol.teacher", "protocol.leakage", "protocol.chance", "protocol.data", "case",
         "environment", "environment.hardware", "environment.hardware.precision", "environment.git", "message", "started",
         "seconds", "in_batch", "in_batch.student", "teacher", "controls", "controls.shuffled", "curve"]  # fmt: skip


@given(st.sampled_from(PARTS), JSON)
@settings(max_examples=50)
def test_a_finished_record_with_one_part_replaced_is_refused_or_can_be_reported(tmp_path_factory, part, value):
    folder = tmp_path_factory.mktemp("replaced")
    try:
        found = record.parse(changed(content_of(done(), folder), part, value))
    except ValueError:
        return
    record.write(found, folder)
    assert report.write(folder, (CASE,), "pocket").exists()


@pytest.mark.parametrize("damage", ["none there", "empty", "cut", "flipped"])
def test_a_picture_that_is_not_whole_counts_as_missing(tmp_path, damage):
    path = record.picture_of(tmp_path, CASE.id)
    path.parent.mkdir()
    Image.effect_noise((64, 64), 50.0).save(path)
    assert record.has_picture(tmp_path, CASE.id)
    data = path.read_bytes()
    middle = len(data) // 2
    if damage == "none there":
        path.unlink()
    else:
        flipped = data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
        path.write_bytes({"empty": b"", "cut": data[:middle], "flipped": flipped}[damage])
    assert not record.has_picture(tmp_path, CASE.id)


def test_no_damage_to_a_picture_gives_a_traceback(tmp_path):
    path, chance = record.picture_of(tmp_path, CASE.id), random.Random(0)
    path.parent.mkdir()
    Image.new("RGB", (3, 3)).save(path)
    data = path.read_bytes()
    for _ in range(1500):
        place = chance.randrange(len(data))
        path.write_bytes(data[:place] + bytes([chance.randrange(256)]) + data[place + 1 :])
        assert record.has_picture(tmp_path, CASE.id) in (True, False)


def test_a_record_of_another_format_is_told_to_be_that(tmp_path):
    path = record.write(done(), tmp_path)
    content = unseal(path.read_text())
    path.write_text(seal(content | {"format": 1}))
    with pytest.raises(record.RecordError, match="its format is 1, and this version reads 3"):
        record.read(path)
