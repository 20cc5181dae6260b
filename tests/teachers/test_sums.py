"""The list of sums beside the shipped weights, against coreutils, and a weight file that was damaged."""

import shutil
import subprocess

import pytest

import teachers
from teachers import POCKET, WeightsError, _sums


def test_every_shipped_weight_file_is_listed_and_coreutils_agrees():
    shipped = sorted(path.name for path in POCKET.glob("*.safetensors"))
    listed = [line.split()[1] for line in (POCKET / _sums.NAME).read_text().splitlines()]
    assert listed == shipped and len(shipped) >= 6
    checked = subprocess.run(["sha256sum", "--check", "--strict", _sums.NAME], cwd=POCKET, capture_output=True)
    assert checked.returncode == 0, checked.stderr


@pytest.mark.parametrize("place", [-1, -100_000])
def test_a_shipped_weight_that_flipped_is_refused_and_named(tmp_path, monkeypatch, place):
    for name in ("dino.safetensors", _sums.NAME):
        shutil.copy(POCKET / name, tmp_path)
    monkeypatch.setattr(teachers, "POCKET", tmp_path)
    teachers.load("dino", "pocket")
    data = bytearray((tmp_path / "dino.safetensors").read_bytes())
    data[place] ^= 1
    (tmp_path / "dino.safetensors").write_bytes(data)
    with pytest.raises(WeightsError, match=r"dino\.safetensors is damaged.*git checkout -- dino\.safetensors"):
        teachers.load("dino", "pocket")


def test_a_file_that_is_entered_matches_until_it_changes(tmp_path):
    path, other = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    path.write_bytes(b"one")
    other.write_bytes(b"two")
    assert _sums.matches(path) is None
    for file in (other, path):
        _sums.enter(file)
    assert _sums.matches(path) and _sums.matches(other)
    path.write_bytes(b"two")
    assert _sums.matches(path) is False and _sums.matches(other)
    _sums.enter(path)
    assert _sums.matches(path)


@pytest.mark.parametrize("lines", [b"", b"\n\n", b"\xff\xfe", b"nothing", b"00 another.safetensors"])
def test_a_list_without_the_file_says_nothing_of_it(tmp_path, lines):
    (tmp_path / _sums.NAME).write_bytes(lines)
    (tmp_path / "a.safetensors").write_bytes(b"one")
    assert _sums.matches(tmp_path / "a.safetensors") is None
