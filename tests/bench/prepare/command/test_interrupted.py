"""A command that is killed, meets a full disk or runs twice at once: the same one goes on to the same end."""

import os
import random
import resource
import shutil
import subprocess
import sys
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import bench.prepare
from bench import data
from bench.__main__ import main
from bench.data import prepared
from bench.data.archives import PrepareError
from bench.kit.paths import ROOT
from bench.prepare import origin
from tests.bench.prepare import made
from tests.bench.prepare.command.outcome import TINY, content_of, refused


def test_a_disk_that_fills_up_is_told_and_the_same_command_goes_on(given, place, capsys):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))  # no file may be longer
        error = refused(capsys, TINY, "--archives", given, "--subset")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "File too large" in error and "goes on" in error and "tiny-imagenet" in error
    assert not (place / "manifest.json").exists()
    assert main(["prepare", TINY, "--archives", str(given), "--subset"]) == 0


def test_what_is_there_counts_for_the_disk_that_is_needed(tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(0, 0, 600_000))
    with pytest.raises(PrepareError, match="some needs about"):
        origin.require_disk("some", 0.001, tmp_path)
    Path(tmp_path / "part").write_bytes(os.urandom(500_000))
    origin.require_disk("some", 0.001, tmp_path)


KILLED = """
import os, signal, sys, threading
import PIL.JpegImagePlugin
from bench import prepared
from bench.__main__ import main
import bench.prepare, bench.data.tiny_imagenet
prepared.SHARD = 16
name, left = sys.argv[1], int(sys.argv[2])
def count(frame, event, argument):
    global left
    code = frame.f_code
    if event == "call" and f"{os.path.basename(code.co_filename)}:{code.co_name}" == name:
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
threading.setprofile(count)
sys.setprofile(count)
sys.exit(main(sys.argv[3:]))
"""


def test_killed_at_any_step_the_same_command_goes_on_to_the_same_end(given, tmp_path):
    """A function of each step, and the call of it at which the process is killed, drawn at random."""
    draw = random.Random(0).randrange

    def run(folder, function="", call=0):
        words = ["prepare", TINY, "--archives", str(given), "--subset", "--data", str(tmp_path / folder)]
        script = [sys.executable, "-u", "-c", KILLED, function, str(call), *words]
        return subprocess.run(script, cwd=ROOT, capture_output=True, text=True)

    points = [("archive.py:_unpack_one", draw(1, 200)), ("images.py:examine", draw(1, 200)), ("images.py:decode", draw(120, 200)),
              ("journal.py:append", draw(1, 3)), ("files.py:<lambda>", 1)]  # fmt: skip
    said = ""
    with ThreadPoolExecutor(1) as pool:
        undisturbed = pool.submit(run, "undisturbed")
        for function, call in points:
            killed = run("disturbed", function, call)
            assert killed.returncode == -9, (function, call)
            assert not (tmp_path / "disturbed" / TINY / "manifest.json").exists()
            said += killed.stdout
        assert run("disturbed").returncode == undisturbed.result().returncode == 0
    assert "shards are complete" in said
    assert content_of(tmp_path / "disturbed" / TINY) == content_of(tmp_path / "undisturbed" / TINY)
    left = [path.name for path in (tmp_path / "disturbed").rglob(".*") if path.name != ".unpack.lock"]
    assert left == []  # no temporary files


def test_a_session_is_refused_once_where_preparing_another_set_was_left_unfinished(given, place, tmp_path, monkeypatch):
    made.prepared(TINY, given)
    larger = made.archives(tmp_path / "larger", made.tiny_imagenet(train=2))

    def killed(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(bench.prepare, "_finish", killed)
    with pytest.raises(KeyboardInterrupt):
        made.prepared(TINY, larger)
    words = [sys.executable, "-m", "pytest", "bench", "--profile", "sample", "-k", TINY, "-p", "no:cacheprovider"]
    ran = subprocess.run([*words, "--results", str(tmp_path / "results")], cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == pytest.ExitCode.USAGE_ERROR, ran.stdout + ran.stderr
    repair = f"python -m bench prepare {TINY} --archives {larger} --subset --data {place.parent}"
    told = f"preparing {TINY} in {place.parent} was left unfinished; repair it with: {repair}"
    assert [line for line in ran.stderr.splitlines() if line] == [f"ERROR: {told}"]
    assert "Traceback" not in ran.stdout


def test_two_at_once_end_well(given, place):
    with ThreadPoolExecutor(2) as pool:
        said = [run.result() for run in [pool.submit(made.prepared, TINY, given) for _ in range(2)]]
    assert sorted(any("is prepared already" in line for line in lines) for lines in said) == [False, True]
    assert len(data.load(TINY, "train", None)) == 200


def test_a_digit_that_flipped_in_the_manifest_is_noticed_and_repaired(given, place):
    made.prepared(TINY, given)
    path = place / "manifest.json"
    whole = path.read_text()
    assert whole.count('"images": 200,') == 1
    path.write_text(whole.replace('"images": 200,', '"images": 300,'))
    with pytest.raises(prepared.AlteredError, match=r"manifest\.json is not what its sha256 says; repair it with"):
        bench.prepare.require_whole(TINY, prepared.manifest(TINY))
    assert any("is not what its sha256 says" in line for line in made.prepared(TINY, given))
    assert path.read_text() == whole
    bench.prepare.require_whole(TINY, prepared.manifest(TINY))
