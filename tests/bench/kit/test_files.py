"""Atomic writes: whole or not at all, and nothing left lying about; and JSON with a checksum of its own content."""

import json
import os
import random
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from bench.kit.files import WriteError, seal, sweep, unseal, write_atomically, write_text
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


CONTENT = {"z": 1, "a": [0.1, None, True, "é", {"deep": 1e-300}], "n": 12345678901234567890}


def test_what_was_sealed_is_read_back_however_it_is_laid_out():
    text = seal(CONTENT)
    assert unseal(text) == CONTENT and list(json.loads(text)) == [*CONTENT, "sha256"]
    line = seal(CONTENT, indent=None)
    assert unseal(line) == CONTENT and line.count("\n") == 1
    laid_out = json.dumps(json.loads(text), indent=4, sort_keys=True).replace("\n", "\r\n")
    assert unseal(laid_out) == CONTENT


def test_numbers_that_json_does_not_have_survive():
    content = unseal(seal({"nan": float("nan"), 5: float("inf")}))
    assert content["nan"] != content["nan"] and content["5"] == float("inf")


def test_no_flipped_bit_changes_what_is_read():
    data, chance = seal(CONTENT).encode(), random.Random(0)
    refused = 0
    for _ in range(2000):
        place = chance.randrange(len(data))
        flipped = data[:place] + bytes([data[place] ^ 1 << chance.randrange(8)]) + data[place + 1 :]
        try:
            assert unseal(flipped.decode()) == CONTENT  # 1E-300 is 1e-300
        except ValueError:
            refused += 1
    assert refused > 1000


@pytest.mark.parametrize("text", ["", "{", "[]", "1", "{}", '{"a": 1}', '{"a": 1, "sha256": null}'])
def test_what_was_never_sealed_is_refused(text):
    with pytest.raises(ValueError):
        unseal(text)
