"""Atomic writes: whole or not at all, and nothing left lying about."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from bench.kit.files import WriteError, sweep, write_atomically, write_text
from bench.kit.paths import ROOT


def test_a_failed_write_leaves_the_old_file_and_no_temporary_one(tmp_path):
    path = tmp_path / "a" / "file.json"
    write_text(path, "old")

    def full(temporary):
        temporary.write_text("half of the n")
        raise OSError(28, "No space left on device")

    with pytest.raises(WriteError, match=r"file.json cannot be written \(.*No space left.*make room"):
        write_atomically(path, full)
    assert path.read_text() == "old"
    assert list(path.parent.iterdir()) == [path]


def test_only_a_full_disk_asks_for_room(tmp_path):
    def refused(temporary):
        raise PermissionError(13, "Permission denied")

    with pytest.raises(WriteError, match=r"Permission denied\); what was there before stays: fix that, and run"):
        write_atomically(tmp_path / "file", refused)


def test_a_write_replaces_the_whole_file(tmp_path):
    path = tmp_path / "file"
    write_text(path, "a long first content")
    write_text(path, "ü")
    assert path.read_bytes() == "ü".encode()


def test_sweep_removes_what_dead_processes_left_and_nothing_else(tmp_path):
    dead = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True
    ).stdout.strip()
    here = socket.gethostname().replace(".", "-")
    names = (f"{here}-{dead}.x1", f"{here}-{os.getpid()}.x2", f"elsewhere-{dead}.x3")
    gone, alive, elsewhere, other = (tmp_path / f".{name}.tmp" for name in [*(f"r.json.{n}" for n in names), "other"])
    for path in (gone, alive, elsewhere, other):
        path.write_text("")
    sweep(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted([alive, elsewhere, other])


@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied"), OSError(30, "Read-only file system")])
def test_what_cannot_be_swept_stays(tmp_path, monkeypatch, error):
    """In another user's folder: it ends no session."""
    stale = tmp_path / f".r.json.{socket.gethostname().replace('.', '-')}-{2**22 + 1}.x.tmp"
    stale.touch()
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", lambda *_, **__: (_ for _ in ()).throw(error))
        sweep(tmp_path)
    sweep(tmp_path)
    assert not stale.exists()


def test_what_a_killed_writer_left_is_swept(tmp_path):
    code = (
        "import os, signal\nfrom pathlib import Path\nfrom bench.kit.files import write_atomically\n"
        f"write_atomically(Path({str(tmp_path / 'file')!r}), lambda _: os.kill(os.getpid(), signal.SIGKILL))"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False)
    assert len(list(tmp_path.glob(".file.*.tmp"))) == 1
    sweep(tmp_path)
    assert list(tmp_path.iterdir()) == []
