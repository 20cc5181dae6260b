"""The list of sums beside the shipped weights, against coreutils, and a weight file that was damaged."""

import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest

import teachers
from bench.kit.files import WriteError
from teachers import POCKET, WeightsError, _sums

ONE = hashlib.sha256(b"one").hexdigest()


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


@pytest.mark.parametrize(
    "lines",
    [b"", b"\n\n", b"\xff\xfe", b"nothing", b"00 another.safetensors", b"# a.safetensors", b"00  a.safetensors"],
)
def test_a_list_without_the_file_says_nothing_of_it(tmp_path, lines):
    (tmp_path / _sums.NAME).write_bytes(lines)
    (tmp_path / "a.safetensors").write_bytes(b"one")
    assert _sums.matches(tmp_path / "a.safetensors") is None


@pytest.mark.parametrize(
    "text",
    [
        f"{ONE.upper()}  a.safetensors\n",
        f"\ufeff{ONE}  a.safetensors\n",
        f"# a.safetensors\n{ONE}  a.safetensors\n# a.safetensors",
        f"{ONE} *./a.safetensors\r\n",
        f"{ONE}  ./a.safetensors\n",
        f"\\{ONE}  a.safetensors\n",
    ],
    ids=["upper case", "byte-order mark", "comments", "binary", "folder", "escape"],
)
def test_every_form_of_a_list_is_read(tmp_path, text):
    path = tmp_path / "a.safetensors"
    (tmp_path / _sums.NAME).write_text(text, encoding="utf-8", newline="")
    path.write_bytes(b"one")
    assert _sums.matches(path) is True
    path.write_bytes(b"two")
    assert _sums.matches(path) is False


def test_entering_a_file_keeps_the_other_lines(tmp_path):
    path, other = tmp_path / "b.safetensors", f"{'A' * 64} *a.safetensors"
    (tmp_path / _sums.NAME).write_text(f"{'0' * 64}  b.safetensors\n{other}\n# kept\n")
    path.write_bytes(b"one")
    _sums.enter(path)
    assert (tmp_path / _sums.NAME).read_text() == f"# kept\n{other}\n{ONE}  b.safetensors\n"


def entered(path, content):
    path.write_bytes(content)
    _sums.enter(path)
    return path


# What is renamed: the list with both sums, the file, the list with the new one.
@pytest.mark.parametrize(("renamed", "holds"), [(0, b"old"), (1, b"old"), (2, b"one"), (3, b"one")])
def test_an_interruption_at_any_moment_leaves_a_file_that_matches(tmp_path, monkeypatch, renamed, holds):
    path = entered(tmp_path / "a.safetensors", b"old")
    done, rename = [], Path.replace

    def interrupted(self, target):
        if len(done) == renamed:
            raise KeyboardInterrupt
        done.append(rename(self, target))

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", interrupted)
        if renamed < 3:
            with pytest.raises(KeyboardInterrupt):
                _sums.replace(path, lambda temporary: temporary.write_bytes(b"one"))
        else:
            _sums.replace(path, lambda temporary: temporary.write_bytes(b"one"))
            assert (tmp_path / _sums.NAME).read_text() == f"{ONE}  a.safetensors\n"
    assert path.read_bytes() == holds and _sums.matches(path) is True
    assert {file.name for file in tmp_path.iterdir()} == {path.name, _sums.NAME}
    _sums.replace(path, lambda temporary: temporary.write_bytes(b"one"))
    assert (tmp_path / _sums.NAME).read_text() == f"{ONE}  a.safetensors\n"


def test_a_failed_write_leaves_the_old_file_and_its_sum(tmp_path):
    path = entered(tmp_path / "a.safetensors", b"old")

    def full(temporary):
        temporary.write_bytes(b"o")
        raise OSError(28, "No space left on device")

    with pytest.raises(WriteError, match=r"a\.safetensors cannot be written .*No space left"):
        _sums.replace(path, full)
    assert path.read_bytes() == b"old" and _sums.matches(path) is True


def test_a_file_that_was_not_there_is_written_and_entered(tmp_path):
    path = tmp_path / "a.safetensors"
    _sums.replace(path, lambda temporary: temporary.write_bytes(b"one"))
    assert path.read_bytes() == b"one" and _sums.matches(path) is True
