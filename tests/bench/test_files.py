"""Atomic writes: whole or not at all, and nothing left lying about."""

import os
import subprocess
import sys

import pytest

from bench.files import sweep, write_atomically, write_text


def test_a_failed_write_leaves_the_old_file_and_no_temporary_one(tmp_path):
    path = tmp_path / "a" / "file.json"
    write_text(path, "old")

    def full(temporary):
        temporary.write_text("half of the n")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, full)
    assert path.read_text() == "old"
    assert list(path.parent.iterdir()) == [path]


def test_a_write_replaces_the_whole_file(tmp_path):
    path = tmp_path / "file"
    write_text(path, "a long first content")
    write_text(path, "ü")
    assert path.read_bytes() == "ü".encode()


def test_sweep_removes_what_dead_processes_left_and_nothing_else(tmp_path):
    dead = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True
    ).stdout.strip()
    gone, alive, other = (
        tmp_path / name for name in (f".r.json.{dead}.x1.tmp", f".r.json.{os.getpid()}.x2.tmp", ".other.tmp")
    )
    for path in (gone, alive, other):
        path.write_text("")
    sweep(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted([alive, other])
