"""Stored features that are not what the live teacher says, damaged or another's: none is ever used."""

import random
import shutil
from dataclasses import replace

import numpy as np
import pytest

from bench.features import extract
from bench.features import key as feature_key
from bench.features.extract import distil
from bench.features.key import weights_digest
from bench.kit.array_store import StoreError, journal
from tests.bench.features.extract.passes import TEST, TRAIN, Changed, arrays_of, assert_same, work


def assert_right_or_refused(teacher, good, told):
    """Arrays as they were, or an error that names what is wrong."""
    try:
        found = distil(work(teacher, told=told), TRAIN, TEST)
    except StoreError as error:
        assert "scenes-clip-" in str(error)
        return
    assert_same(arrays_of(found), good)


def test_no_flipped_byte_in_any_file_is_ever_used(clip, good, folder):
    distil(work(clip), TRAIN, TEST)
    shutil.copytree(folder, folder.with_name("kept"))
    files = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file() and path.stat().st_size)
    assert {path.name for path in files} >= {"text_lengths.bin", "text_tokens.bin", "about.json", "plan.json"}
    chance = random.Random(0)
    for file in [*files, *chance.choices(files, k=10)]:
        content = bytearray((folder / file).read_bytes())
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        (folder / file).write_bytes(content)
        told = []
        assert_right_or_refused(clip, good, told)
        assert told or file.name == "lock.holder"
        shutil.rmtree(folder)
        shutil.copytree(folder.with_name("kept"), folder)


@pytest.mark.parametrize("name", ["tokens", "joint", "text_tokens", "text_pooled"])
def test_a_store_of_shifted_rows_with_right_digests_is_refused(clip, folder, name):
    """As a bug in the order of rows would leave it: only the live teacher can tell."""
    found = distil(work(clip), TRAIN, TEST)
    part = "train-captions" if name.startswith("text") else "train-images"
    place = folder / f"scenes-clip-{found.key}" / part
    shape = found.train._sources[name].shape
    values = np.fromfile(place / f"{name}.bin", "float16").reshape(shape)
    np.roll(values, 1, axis=0).tofile(place / f"{name}.bin")
    forge(work(clip), place)
    with pytest.raises(StoreError, match=rf"\(key {found.key}\) do not agree with the live teacher: {name} differs by"):
        distil(work(clip), TRAIN, TEST)


def forge(work, place):
    """Give a store's journal the digests of what lies there now."""
    from bench.kit.array_store import _digest_on_disk

    _, folder = feature_key.keyed(work, TRAIN, TEST, weights_digest(work.teacher))
    parts = extract._parts(work, folder / place.name.partition("-")[0], TRAIN, extract.Reduction(), None)
    plan = next(part.plan for part in parts if part.plan.folder == place)
    assert plan.is_complete()
    entries = [
        journal.Entry(number, {array.name: _digest_on_disk(plan, array, shard) for array in plan.arrays}, 1.0)
        for number, shard in enumerate(plan.shards)
    ]
    journal.rewrite(plan.journal, entries)


@pytest.mark.parametrize("change", [lambda said: {"lengths": said.lengths - 1}, lambda said: {"tokens": -said.tokens}])
def test_a_teacher_that_says_something_else_under_the_same_key_is_noticed(clip, change):
    """As another version of a library may make it."""
    distil(work(Changed(clip)), TRAIN, TEST)
    other = Changed(clip, text=lambda captions: replace(said := clip.text(captions), **change(said)))
    with pytest.raises(StoreError, match="do not agree with the live teacher: text_tokens differs by"):
        distil(work(other), TRAIN, TEST)
