"""A file with a flipped byte, cut short or empty is noticed, named and made again; none is ever used."""

import shutil

import pytest

from tests.robustness.conftest import results_of

# Every kind of file that is read again, and what tells of one that is damaged. Records have a test of their own.
KINDS = {
    "checkpoint": ("results/checkpoints/*scenes*/*-0002.safetensors", "epoch-0002.safetensors"),
    "array": ("data/features/*scenes*/*/*.bin", "1 are damaged"),
    "journal": ("data/features/*scenes*/*/journal.jsonl", "0 of 1 shards are complete"),
    "plan": ("data/features/*scenes*/*/plan.json", "was begun for other content; it is made anew"),
    "reduction": ("data/features/*scenes*/reduction.safetensors", "is damaged; the reduction is fitted again"),
    "facts": ("data/features/*scenes*/about.json", "about.json is damaged"),
}


def flipped(content: bytes, chance) -> bytes:
    place = chance.randrange(len(content))
    return content[:place] + bytes([content[place] ^ 1 << chance.randrange(8)]) + content[place + 1 :]


HARMS = {"flip": flipped, "cut": lambda content, chance: content[: chance.randrange(1, len(content))], "empty": None}
HARMED_RECORDS = [("shapes*1ep", "flip"), ("shapes*2ep", "cut"), ("scenes*1ep", "empty")]


def harm(place, pattern, how, chance):
    """Damage one of the files; returns it."""
    path = chance.choice(sorted(place.glob(pattern)))
    content = path.read_bytes()
    path.write_bytes(HARMS[how](content, chance) if HARMS[how] else b"")
    return path


@pytest.fixture
def place(whole, tmp_path):
    """All that a whole run left, but for the records of one dataset."""
    shutil.copytree(whole, tmp_path / "place")
    return tmp_path / "place"


@pytest.mark.parametrize("kinds", [("checkpoint", "array"), ("journal", "reduction"), ("plan", "facts")], ids="-".join)
def test_what_is_damaged_is_named_and_made_again(run, whole, place, chance, kinds):
    for record in (place / "results" / "records").glob("scenes*"):
        record.unlink()
    harmed = [harm(place, KINDS[kind][0], chance.choice(list(HARMS)), chance) for kind in kinds]
    ran = run(place, "-k", "scenes")
    assert ran.status == 0 and all(KINDS[kind][1] in ran.output for kind in kinds), (harmed, ran.output)
    assert results_of(place) == results_of(whole), harmed


def test_damaged_records_are_named_and_their_cases_run_again(run, whole, place, chance):
    harmed = [harm(place, f"results/records/{which}.json", how, chance) for which, how in HARMED_RECORDS]
    ran = run(place)
    assert ran.status == 0 and all(f"{path} is not a usable record" in ran.output for path in harmed), ran.output
    assert results_of(place) == results_of(whole), harmed
