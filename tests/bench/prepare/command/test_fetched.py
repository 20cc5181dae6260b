"""``python -m bench prepare`` as a user runs it: archives are fetched, the licence and the disk are told first."""

import json
import shutil
import subprocess
import sys
from collections import namedtuple
from contextlib import nullcontext

import pytest

from bench.__main__ import main
from bench.data.archives import PrepareError
from bench.kit import paths
from bench.prepare import download
from tests.bench.prepare import made
from tests.bench.prepare.command.outcome import TINY, content_of, refused
from tests.bench.prepare.made import ROOT


def quiet(title):
    """No progress."""
    return nullcontext(lambda done, total: None)


def test_a_download_that_is_cut_is_continued_by_the_next_call(server, place, capsys, official):
    server.cuts = 1
    assert "run again to continue where" in refused(capsys, TINY)
    assert main(["prepare", TINY]) == 0
    assert [asked["Range"] for asked in server.requests] == [None, f"bytes={server.cut}-"]
    assert (place / f"archives/{ROOT}.zip").read_bytes() == official
    manifest = json.loads((place / "manifest.json").read_text())
    assert manifest["archives"] == [{"name": f"{ROOT}.zip", "bytes": len(official)}]
    assert {name: part["images"] for name, part in manifest["splits"].items()} == {"train": 200, "test": 10}
    assert (manifest["subset"], manifest["skipped"], manifest["left_out"]) == (False, [], {})
    capsys.readouterr()
    assert main(["prepare", TINY]) == 0
    assert "is prepared already in" in capsys.readouterr().out and len(server.requests) == 2


def test_licence_and_disk_are_told_before_anything_is_asked_for(server, place):
    server.state = 404
    said = []
    with pytest.raises(download.DownloadError):
        made.prepare(TINY, None, False, lambda line: said.append((line, len(server.requests))), quiet)
    assert not any(requests for _, requests in said)
    text = "\n".join(line for line, _ in said)
    assert "non-commercial research" in text and server.address in text and "disk needed in" in text and "free:" in text


def test_a_prepared_set_needs_its_archives_no_more(server, place, capsys):
    assert main(["prepare", TINY]) == 0
    shutil.rmtree(place / "archives")
    assert main(["prepare", TINY]) == 0
    assert len(server.requests) == 1


def test_a_disk_that_is_too_small_is_seen_before_the_download(server, place, capsys, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**9, 10**9, 10**6))
    assert "about 0.01 GB more in" in refused(capsys, TINY)
    assert server.requests == []


def test_data_and_the_variable_choose_the_place(given, place, tmp_path):
    words = ["prepare", TINY, "--archives", str(given), "--subset"]
    assert main(words) == 0
    assert (place / "manifest.json").exists()
    assert main([*words, "--data", str(tmp_path / "elsewhere")]) == 0
    assert content_of(tmp_path / "elsewhere" / TINY) == content_of(place)


def test_a_place_that_cannot_be_written_is_named(given, tmp_path, capsys):
    (tmp_path / TINY).write_text("")
    error = refused(capsys, TINY, "--archives", given, "--subset", "--data", tmp_path / TINY)
    assert f"--data {tmp_path / TINY}: {tmp_path / TINY} is a file; name a folder" in error
    error = refused(capsys, TINY, "--archives", given, "--subset", "--data", tmp_path)
    assert f"tiny-imagenet cannot be prepared in {tmp_path / TINY}: " in error


def test_pictures_never_lie_where_git_would_take_them():
    assert "/data/" in (paths.ROOT / ".gitignore").read_text().splitlines()
    tracked = subprocess.run(["git", "ls-files"], cwd=paths.ROOT, capture_output=True, text=True).stdout.lower()
    assert not any(name.endswith((".jpeg", ".jpg", ".zip")) for name in tracked.splitlines())


def test_a_drawn_dataset_cannot_be_prepared():
    with pytest.raises(PrepareError, match="shapes is drawn by the suite itself"):
        made.prepared("shapes", None)


def test_preparing_imports_no_torch():
    script = "import sys, bench.prepare, bench.data.coco; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], cwd=paths.ROOT, check=False).returncode == 0
