"""``python -m bench cache``: what is stored is listed as it is, and only what was named is deleted."""

import os
import time

import pytest
import torch

import teachers
from bench import __main__ as command
from bench import data
from bench.features import cache
from bench.features.extract import Needs, Pass, distil
from bench.kit import paths
from bench.kit.lock import locked
from tests.bench.counting import silent

DAY = 86400


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv(paths.VARIABLE, str(tmp_path))
    return tmp_path / "features"


def store(folder, name, size=10_000, complete=True, days=0.0):
    """Something that looks like stored features that were last used some days ago."""
    place = folder / name
    (place / "train-images").mkdir(parents=True)
    files = [place / "train-images" / "pooled.bin", place / "about.json", *([place / "complete"] if complete else [])]
    files[0].write_bytes(bytes(size))
    files[1].write_text("{}")
    (place / "complete").touch() if complete else None
    for file in files:
        os.utime(file, (time.time() - days * DAY,) * 2)
    return place


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def run(*words):
    return command.main(["cache", *words])


def test_nothing_is_said_to_be_nothing(folder, capsys):
    assert run() == 0 and f"no stored features in {folder}" in capsys.readouterr().out


def test_the_list_tells_size_use_content_and_what_is_incomplete(folder, capsys):
    teacher = teachers.load("dino", "pocket")
    splits = data.load("shapes", "train", 8), data.load("shapes", "test", 4)
    work = Pass("shapes-dino", teacher, torch.device("cpu"), "fp32", Needs(True, False), lambda text: None, silent)
    key = distil(work, *splits).key
    store(folder, "coco-clip-0123456789abcdef", 20_000_000, complete=False, days=3)
    assert run() == 0
    first, large, small = capsys.readouterr().out.splitlines()
    assert first == f"{folder}: 0.02 GB"
    assert large.split()[0] == "coco-clip-0123456789abcdef" and "used 3 days ago" in large
    assert large.endswith("incomplete")
    assert small.split()[0] == f"shapes-dino-{key}" and "used 0 days ago" in small and "incomplete" not in small
    assert "shipped file, fp32, with tokens" in small


def test_files_with_holes_count_as_what_they_take(folder):
    place = store(folder, "coco-dino-1")
    with (place / "train-images" / "tokens.bin").open("wb") as file:
        file.truncate(10**9)
    (entry,) = cache.entries()
    assert entry.bytes < 10**6


def test_prune_deletes_what_is_named_and_nothing_else(folder, capsys):
    for name in ("coco-clip-1", "coco-clip-2", "coco-blip-1", "shapes-dino-1"):
        store(folder, name)
    assert run("prune", "coco-clip", "shapes-dino-1") == 0
    assert names(folder) == ["coco-blip-1"]
    assert capsys.readouterr().out.count("deleted ") == 3
    assert run("prune", "--all") == 0
    assert names(folder) == []


def test_prune_by_last_use(folder):
    for name, days in (("old", 40), ("young", 2)):
        store(folder, name, days=days)
        store(folder, f"{name}-begun", complete=False, days=days)
    run("prune", "--unused", "30")
    assert names(folder) == ["young", "young-begun"]


def test_prune_by_name_and_last_use_takes_what_is_both(folder):
    for name, days in (("coco-clip-1", 40), ("coco-clip-2", 2), ("shapes-dino-1", 40)):
        store(folder, name, days=days)
    run("prune", "coco-clip", "--unused", "30")
    assert names(folder) == ["coco-clip-2", "shapes-dino-1"]


@pytest.mark.parametrize("days", ["-1", "nan", "inf", "soon"])
def test_days_that_are_no_number_of_days_delete_nothing(folder, capsys, days):
    store(folder, "coco-clip-1", days=40)
    with pytest.raises(SystemExit):
        run("prune", "--unused", days)
    assert "expected a number of days from 0" in capsys.readouterr().err and names(folder) == ["coco-clip-1"]


def test_use_is_counted_from_the_last_opening(folder):
    teacher = teachers.load("dino", "pocket")
    splits = data.load("shapes", "train", 8), data.load("shapes", "test", 4)
    work = Pass("shapes-dino", teacher, torch.device("cpu"), "fp32", Needs(False, False), lambda text: None, silent)
    distil(work, *splits)
    (entry,) = cache.entries()
    os.utime(entry.folder / "complete", (time.time() - 10 * DAY,) * 2)
    assert cache.entries()[0].unused_days > 9
    distil(work, *splits)
    assert cache.entries()[0].unused_days < 1


@pytest.mark.parametrize("name", ["coco-beit", ""])
def test_a_name_that_fits_nothing_deletes_nothing(folder, capsys, name):
    store(folder, "coco-clip-1")
    assert run("prune", "coco-clip-1", name) == 2
    assert f"no stored features are called {name!r}" in capsys.readouterr().err
    assert names(folder) == ["coco-clip-1"]


@pytest.mark.parametrize("words", [["prune"], ["list", "--all"], ["--unused", "3"]])
def test_prune_needs_to_be_told_what(folder, capsys, words):
    store(folder, "coco-clip-1")
    assert run(*words) == 2
    assert "cache prune needs names, --unused DAYS or --all" in capsys.readouterr().err
    assert names(folder) == ["coco-clip-1"]


def test_links_and_other_peoples_folders_are_neither_listed_nor_deleted(folder, tmp_path, capsys):
    store(tmp_path / "elsewhere", "coco-clip-1")
    (folder / "notes").mkdir(parents=True)
    (folder / "coco-clip-1").symlink_to(tmp_path / "elsewhere" / "coco-clip-1")
    assert run("prune", "--all") == 0 and "nothing to delete" in capsys.readouterr().out
    assert names(folder) == ["coco-clip-1", "notes"] and (folder / "coco-clip-1" / "complete").exists()


def test_what_a_process_works_on_is_kept(folder, capsys):
    store(folder, "coco-clip-1")
    store(folder, "coco-clip-2")
    with locked(folder / "coco-clip-1.lock"):
        run("prune", "--all")
    assert "kept coco-clip-1: a process is working on it" in capsys.readouterr().out
    assert names(folder) == ["coco-clip-1", "coco-clip-1.lock"]
    run("prune", "--all")
    assert names(folder) == []


def test_a_pass_holds_that_lock_from_beginning_to_end(folder):
    teacher = teachers.load("dino", "pocket")
    splits = data.load("shapes", "train", 8), data.load("shapes", "test", 4)
    told = []

    class Pruning:
        def __getattr__(self, name):
            return getattr(teacher, name)

        def image(self, pixels):
            told.extend(cache.prune([], None))
            return teacher.image(pixels)

    work = Pass("shapes-dino", Pruning(), torch.device("cpu"), "fp32", Needs(False, False), lambda text: None, silent)
    found = distil(work, *splits)
    assert len(told) == 4 and all(text.startswith(f"kept shapes-dino-{found.key}") for text in told)


def test_who_reads_deleted_features_keeps_them(folder):
    teacher = teachers.load("dino", "pocket")
    splits = data.load("shapes", "train", 8), data.load("shapes", "test", 4)
    work = Pass("shapes-dino", teacher, torch.device("cpu"), "fp32", Needs(False, False), lambda text: None, silent)
    found = distil(work, *splits)
    before = found.train.joint.clone()
    cache.prune([], None)
    assert names(folder) == [] and torch.equal(found.train.joint, before)
