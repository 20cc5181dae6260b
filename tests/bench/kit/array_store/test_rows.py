"""The store: what is read is what was made, for any rows; and who asks for other content gets that."""

import json
import tempfile
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.kit.array_store import fill
from tests.bench.kit.array_store.plans import LENGTHS, Source, assert_right, plan_of, refuse, stored, whole_of


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=20), st.integers(1, 8))
def test_any_rows_in_any_shards_come_back(lengths, shard):
    with tempfile.TemporaryDirectory() as folder:
        plan = plan_of(folder, lengths, shard)
        steps = []
        made = fill(plan, Source(plan), lambda done, total: steps.append((done, total)))
        assert_right(plan, made.arrays)
        assert made.fresh and steps == [(shard.stop, len(lengths)) for shard in plan.shards]
        again = fill(plan, refuse)
        assert_right(plan, again.arrays)
        assert not again.fresh and again.seconds == made.seconds
        ragged = plan.arrays[2]
        for row, length in enumerate(lengths):
            start, stop = ragged.span(row, row + 1)
            assert stop - start == length and start == sum(lengths[:row])


def test_arrays_are_mapped_and_changes_to_them_stay_in_memory(tmp_path):
    plan = stored(tmp_path)
    arrays = fill(plan, refuse).arrays
    assert all(isinstance(array, np.memmap) for array in arrays.values())
    arrays["half"][:] = 0
    assert_right(plan, fill(plan, refuse).arrays)


@pytest.mark.parametrize("change", [{"facts": {"made": "otherwise"}}, {"shard": 3}, {"lengths": LENGTHS[::-1]}])
def test_a_store_of_other_content_is_not_used(tmp_path, change):
    stored(tmp_path)
    other, notes = plan_of(tmp_path, **change), []
    made = fill(other, Source(other), say=notes.append)
    assert made.fresh and "begun for other content" in notes[0]
    assert_right(other, made.arrays)


def test_who_reads_while_the_store_is_made_anew_keeps_what_they_read(tmp_path):
    plan = stored(tmp_path)
    arrays = fill(plan, refuse).arrays
    fill(other := plan_of(tmp_path, lengths=[1, 2]), Source(other))
    assert_right(plan, arrays)


def test_rows_of_another_form_are_refused(tmp_path):
    plan = plan_of(tmp_path)
    for harm in (lambda rows: rows[:-1], lambda rows: rows.astype("float64"), lambda rows: rows[:1]):
        source = Source(plan)
        source.whole["half"] = harm(source.whole["half"])
        with pytest.raises(ValueError, match=r"half of rows \d+ to \d+ is float"):
            fill(plan, source)


def test_seconds_are_those_of_all_sessions_and_of_the_work_alone(tmp_path):
    plan = plan_of(tmp_path)
    with pytest.raises(ZeroDivisionError):
        fill(plan, Source(plan, 3, ZeroDivisionError(), pause=0.02))
    time.sleep(0.3)  # nobody works
    seconds = fill(plan, Source(plan, pause=0.02)).seconds
    assert 5 * 0.02 <= seconds < 0.3 and fill(plan, refuse).seconds == seconds


def test_what_others_may_read_is_plain(tmp_path):
    plan = stored(tmp_path)
    described = json.loads((tmp_path / "plan.json").read_text())
    assert described["rows"] == len(LENGTHS) and described["facts"] == {"made": "by the test"}
    assert [array["shape"] for array in described["arrays"]] == [[17, 3], [17], [sum(LENGTHS), 2]]
    raw = np.fromfile(tmp_path / "half.bin", "float16").reshape(17, 3)
    assert np.array_equal(raw, whole_of(plan)["half"])
