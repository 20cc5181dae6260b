"""``python -m bench prepare`` as a user runs it: fetched or given archives, refused ones, interruptions, repairs."""

import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from contextlib import nullcontext

import pytest

from bench import data
from bench.__main__ import main
from bench.data import coco, images, prepared, tiny_imagenet
from bench.data.archives import PrepareError
from bench.kit import paths
from bench.kit.errors import UserError
from bench.prepare import origin, pictures, unpack
from tests.bench.prepare import made
from tests.bench.prepare.made import ROOT
from tests.bench.prepare.outcome import TINY, content_of, refused, set_free_disk, with_bad


def test_archives_are_fetched_prepared_and_needed_no_more(server, place, capsys, official):
    server.cuts = 1
    assert main(["prepare", TINY]) == 0
    assert [headers["Range"] for headers in server.requests] == [None, "bytes=100000-"]
    assert (place / f"archives/{ROOT}.zip").read_bytes() == official
    manifest = json.loads((place / "manifest.json").read_text())
    assert manifest["archives"] == [{"name": f"{ROOT}.zip", "bytes": len(official)}]
    assert {name: part["images"] for name, part in manifest["splits"].items()} == {"train": 200, "test": 10}
    assert (manifest["subset"], manifest["skipped"], manifest["left_out"]) == (False, [], {})
    shutil.rmtree(place / "archives")
    capsys.readouterr()
    assert main(["prepare", TINY]) == 0
    assert "is prepared already in" in capsys.readouterr().out and len(server.requests) == 2


def test_licence_and_disk_are_shown_before_anything_is_asked_for(server):
    server.state, log = 404, []
    with pytest.raises(PrepareError):
        made.prepare(TINY, None, False, lambda line: log.append((line, len(server.requests))),
                     lambda title: nullcontext(lambda done, total: None))  # fmt: skip
    assert not any(requests for _, requests in log)
    text = "\n".join(line for line, _ in log)
    assert "non-commercial research" in text and server.url in text and "disk needed in" in text and "free:" in text


def test_a_disk_that_is_too_small_is_seen_before_the_download(server, tmp_path, capsys, monkeypatch):
    set_free_disk(monkeypatch, 600_000)
    assert "needs 0.01 GB more" in refused(capsys, TINY) and server.requests == []
    with pytest.raises(PrepareError, match=r"some: .* needs 1\.00 MB more"):
        origin.require_disk("some", 0.001, tmp_path)
    (tmp_path / "part").write_bytes(os.urandom(500_000))
    origin.require_disk("some", 0.001, tmp_path)  # what is there counts


def test_data_and_the_variable_choose_the_place_which_is_named_where_it_cannot_be_written(
    given, place, tmp_path, capsys
):
    words = ["prepare", TINY, "--archives", str(given), "--subset"]
    assert main(words) == 0
    assert main([*words, "--data", str(tmp_path / "elsewhere")]) == 0
    assert content_of(tmp_path / "elsewhere" / TINY) == content_of(place)
    capsys.readouterr()
    (tmp_path / TINY).write_text("")
    error = refused(capsys, *words[1:], "--data", tmp_path / TINY)
    assert f"--data {tmp_path / TINY}: {tmp_path / TINY} is a file; name a folder" in error
    assert f"tiny-imagenet cannot be prepared in {tmp_path / TINY}: " in refused(capsys, *words[1:], "--data", tmp_path)


def test_a_drawn_dataset_cannot_be_prepared_and_no_other_one_needs_torch():
    with pytest.raises(PrepareError, match="shapes is drawn by the suite itself"):
        made.prepared("shapes", None)
    script = "import sys, bench.prepare, bench.data.coco; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], cwd=paths.ROOT, check=False).returncode == 0


def test_the_official_archive_from_a_folder_is_verified(official, given, place, tmp_path, monkeypatch, capsys):
    for words, subset in (["--subset"], True), ([], False), (["--subset"], False):  # the whole set will do for a subset
        assert main(["prepare", TINY, "--archives", str(given), *words]) == 0
        assert json.loads((place / "manifest.json").read_text())["subset"] is subset
    shutil.rmtree(place)
    capsys.readouterr()
    (tmp_path / f"{ROOT}.zip").write_bytes(official[:-1] + b"?")
    assert "expected md5" in refused(capsys, TINY, "--archives", tmp_path)
    (tmp_path / f"{ROOT}.zip").write_bytes(official[:-1])
    error = refused(capsys, TINY, "--archives", tmp_path)
    assert "200 train images and 10 test images" in error and "--subset" in error
    monkeypatch.setattr(tiny_imagenet, "EXPECTED", {"train": 100_000, "test": 10})
    error = refused(capsys, TINY, "--archives", given)
    assert "has 200 train images and 10 test images, expected 100,000 train images and 10 test images" in error


def test_archives_that_cannot_be_used_end_in_one_line(given, tmp_path, capsys):
    folder, path = tmp_path / "archives", tmp_path / "archives" / f"{ROOT}.zip"
    words = (capsys, TINY, "--archives", folder, "--subset")
    assert f"--archives {folder}: there is no such folder; it must contain {ROOT}.zip" in refused(*words)
    made.archives(folder, made.coco())
    error = refused(*words)
    assert f"{ROOT}.zip is neither in {folder} nor in" in error and "http://cs231n.stanford.edu/" in error
    (folder / "val2017.zip").rename(path)
    assert "wnids.txt is missing: the archive is not Tiny ImageNet's" in refused(*words)
    for content in (given / f"{ROOT}.zip").read_bytes()[:9999], b"<html>sign in</html>":
        path.write_bytes(content)
        assert f"{path}: damaged, or not a ZIP file that can be used" in refused(*words)


def test_what_was_prepared_counts_no_more_once_another_archive_changed_it(given, place, tmp_path):
    made.prepared(TINY, given)
    bad = made.archives(tmp_path / "bad" / TINY, with_bad(made.tiny_imagenet(), b"", [f"{ROOT}/val/images/val_1.JPEG"]))
    with pytest.raises(PrepareError, match="1 of 10 images of test are bad"):
        made.prepared(TINY, bad.parent)  # archives may lie in a folder of the dataset's name
    repair = f"python -m bench prepare {TINY} --archives {bad.parent} --subset --data {place.parent}"
    error = f"preparing {TINY} in {place.parent} was left unfinished; repair it with: {repair}"
    with pytest.raises(UserError, match=f"^{re.escape(error)}$"):
        data.load(TINY, "test", None)
    made.prepared(TINY, given)
    assert len(data.load(TINY, "test", None)) == 10


def of_another_set(archives):
    """Its annotations are not COCO's, which shows only once they are unpacked."""
    with zipfile.ZipFile(archives / "annotations_trainval2017.zip", "w") as file:
        file.writestr("annotations/readme.txt", "nothing")


def damaged(archives):
    """A picture that was not there before has another CRC-32 than its archive says."""
    picture, path = made.picture(77), archives / "val2017.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("val2017/new.jpg", picture)
    path.write_bytes(path.read_bytes().replace(picture, bytes(len(picture))))


@pytest.mark.parametrize("harm", [of_another_set, damaged])
def test_archives_that_cannot_be_used_leave_what_was_prepared(place, tmp_path, capsys, harm):
    folder, prepared_folder = made.archives(tmp_path / "archives", made.coco()), place.with_name("coco")
    made.prepared("coco", folder)
    before = content_of(prepared_folder)
    harm(folder)
    refused(capsys, "coco", "--archives", folder, "--subset")
    assert content_of(prepared_folder) == before
    assert [len(data.load("coco", split, None)) for split in prepared.SPLITS] == [3, 2]


def test_a_disk_that_cannot_hold_all_archives_leaves_what_was_prepared(place, tmp_path, capsys, monkeypatch):
    """Each of them alone would fit."""
    made.prepared("coco", made.archives(tmp_path / "small", made.coco()))
    before = content_of(place.with_name("coco"))
    set_free_disk(monkeypatch, 8 * 4096)
    larger = made.archives(tmp_path / "larger", made.coco(train=8, validation=6))
    error = refused(capsys, "coco", "--archives", larger, "--subset")
    names = " and ".join(str(larger / entry.name) for entry in coco.ARCHIVES)
    assert f"{names}: " in error and "MB of it; make room" in error
    assert content_of(place.with_name("coco")) == before


def test_another_archive_replaces_the_first_one_wholly(place, tmp_path, monkeypatch):
    monkeypatch.setattr(pictures, "TOLERATED", 0.1)
    content = made.tiny_imagenet(train=2)
    made.prepared(TINY, made.archives(tmp_path / "many", content))
    dropped = [name for name in content if name.endswith(("_1.JPEG", "_boxes.txt"))]
    made.prepared(TINY, made.archives(tmp_path / "few", with_bad(content, None, dropped)))
    manifest = json.loads((place / "manifest.json").read_text())
    assert manifest["splits"]["train"]["images"] == 200  # though the first archive's are still there
    assert manifest["splits"]["test"]["images"] == 9 and manifest["left_out"] == {"not in the archives": 1}
    monkeypatch.setattr(tiny_imagenet, "EXPECTED", {"train": 200, "test": 10})
    few = with_bad(content, None, dropped)
    made.prepared(TINY, made.archives(tmp_path / "many", content))
    made.prepared(TINY, made.unpacked(tmp_path / "folder", few), subset=False)
    manifest = json.loads((place / "manifest.json").read_text())
    assert manifest["skipped"] == [{"file": f"{ROOT}/val/images/val_1.JPEG", "reason": "missing"}]


def test_interrupted_at_any_step_the_same_command_goes_on_to_the_same_end(given, place, tmp_path, monkeypatch):
    """Kills in the midst of a file are tried where files are written: in unpack and in the store."""
    monkeypatch.setattr(prepared, "SHARD", 16)
    log = []
    steps = [
        (unpack, "_unpack_one", 77),
        (images, "examine", 150),
        (pictures, "write_index", 1),
        (images, "decode", 170),
    ]
    for module, name, call in steps:
        calls, work = itertools.count(1), getattr(module, name)

        def interrupted(*arguments, calls=calls, work=work, call=call):
            if next(calls) == call:
                raise KeyboardInterrupt
            return work(*arguments)

        with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(module, name, interrupted)
            made.prepare(TINY, given, True, log.append, lambda title: nullcontext(lambda done, total: None))
        assert not (place / "manifest.json").exists()
    log += made.prepared(TINY, given)
    assert any("shards are complete" in line for line in log)
    monkeypatch.setenv("DISTILL_BENCH_DATA", str(tmp_path / "undisturbed"))
    made.prepared(TINY, given)
    assert content_of(place) == content_of(tmp_path / "undisturbed" / TINY)
    assert list(place.rglob(".*")) == []  # no temporary files
