"""Whatever happened to the files of a store: what is wrong is made again, and nothing else."""

import random
import shutil
from pathlib import Path

import pytest

from bench.kit.array_store import fill
from bench.kit.array_store.layout import Entry, read_journal
from tests.bench.kit.array_store.plans import Source, assert_right, plan_of, refuse, stored
from tests.breadth import some

FILES = ["half.bin", "number.bin", "ragged.bin", "plan.json", "journal.jsonl"]


@pytest.mark.parametrize("name", some(FILES, ["ragged.bin", "journal.jsonl"]))
def test_no_flipped_byte_is_ever_used(tmp_path, name):
    plan = stored(tmp_path / "good")
    good = (tmp_path / "good" / name).read_bytes()
    chance = random.Random(0)
    for place in chance.sample(range(len(good)), min(15, len(good))):
        shutil.copytree(tmp_path / "good", tmp_path / "bad")
        bad = plan_of(tmp_path / "bad")
        damaged = bytearray(good)
        damaged[place] ^= 1 << chance.randrange(8)
        (bad.folder / name).write_bytes(damaged)
        notes, source = [], Source(bad)
        assert_right(bad, fill(bad, source, say=notes.append).arrays)
        # A file of one array: just the shard that holds the byte. The line of a shard: that one, or two if they merge.
        most = {"plan.json": len(plan.shards), "journal.jsonl": 2}.get(name, 1)
        assert notes and 1 <= len(source.made) <= most
        assert_right(bad, fill(bad, refuse).arrays)
        shutil.rmtree(bad.folder)


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def lengthen(path):
    path.write_bytes(path.read_bytes() + b"more")


def zero(path):
    path.write_bytes(bytes(path.stat().st_size))


def swap_lines(path):
    """Each shard's digests under another's number, in lines that are whole."""
    entries = read_journal(path).values()
    path.write_text(
        "".join(
            entry.line for entry in [Entry(len(entries) - 1 - entry.shard, entry.digests, 1.0) for entry in entries]
        )
    )


def state_others(path):
    """Lines that are whole and speak of shards that there are not, or of arrays that there are not."""
    entries = list(read_journal(path).values())
    path.write_text("".join(entry.line for entry in [Entry(number, entries[0].digests, 1.0) for number in (-1, 99)]))
    with path.open("a") as file:
        file.write(Entry(0, {"half": entries[0].digests["half"]}, 1.0).line)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("harm", [cut, zero, lengthen, Path.unlink])
def test_no_harmed_file_is_ever_used(tmp_path, name, harm):
    plan = stored(tmp_path)
    harm(tmp_path / name)
    assert_right(plan, fill(plan, Source(plan)).arrays)
    assert_right(plan, fill(plan, refuse).arrays)


@pytest.mark.parametrize("harm", [swap_lines, state_others])
def test_a_journal_that_speaks_of_other_shards_is_not_believed(tmp_path, harm):
    plan = stored(tmp_path)
    harm(plan.journal)
    source = Source(plan)
    assert_right(plan, fill(plan, source).arrays)
    assert sorted(source.made) in ([0, 1, 2, 3, 4], [0, 1, 3, 4])  # the one in the middle keeps its number


def test_a_line_that_was_cut_short_does_not_spoil_the_next_one(tmp_path):
    plan = plan_of(tmp_path)
    with pytest.raises(ZeroDivisionError):
        fill(plan, Source(plan, 3, ZeroDivisionError()))
    with plan.journal.open("a") as file:
        file.write('{"shard": 3, "dig')
    fill(plan, Source(plan))
    fill(plan, refuse)
