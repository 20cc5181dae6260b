"""``python -m bench cache``: what is stored is listed as it is, and only what was named is deleted."""

import os
import time

import pytest
import torch
from filelock import FileLock

from bench import __main__ as command
from bench.features import cache
from bench.features.extract import extract
from tests.bench.features.passes import TEST, TRAIN, Changed, work

DAY = 86400


def store(folder, name, size=10_000, complete=True, days=0.0):
    """Something that looks like stored features that were last used some days ago."""
    place = folder / name
    (place / "train-images").mkdir(parents=True)
    contents = {"train-images/pooled.bin": bytes(size), "about.json": b"{}"} | ({"complete": b""} if complete else {})
    for file, content in contents.items():
        (place / file).write_bytes(content)
        os.utime(place / file, (time.time() - days * DAY,) * 2)
    return place


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def run(*words):
    return command.main(["cache", *words])


def test_no_stored_features_are_listed_as_none(folder, capsys):
    assert run() == 0 and f"no stored features in {folder}" in capsys.readouterr().out


def test_the_list_has_size_use_content_and_what_is_incomplete(clip, folder, capsys):
    key = extract(work(clip, True, False), TRAIN, TEST).key
    store(folder, "coco-clip-0123456789abcdef", 20_000_000, complete=False, days=3)
    assert run() == 0
    first, large, small = capsys.readouterr().out.splitlines()
    assert first == f"{folder}: 0.02 GB"
    assert large.split()[0] == "coco-clip-0123456789abcdef" and "used 3 days ago" in large
    assert large.endswith("incomplete")
    assert small.split()[0] == f"scenes-clip-{key}" and "used 0 days ago" in small and "incomplete" not in small
    assert "shipped file, fp32, with tokens" in small


def test_files_with_holes_count_as_the_disk_they_take(folder):
    with (store(folder, "coco-dino-1") / "train-images" / "tokens.bin").open("wb") as file:
        file.truncate(10**9)
    (entry,) = cache.entries()
    assert entry.bytes < 10**6


STORES = {"coco-clip-1": 40, "coco-clip-2": 2, "coco-blip-1": 2, "shapes-dino-1": 40}  # days since their last use


@pytest.mark.parametrize(
    ("words", "left"),
    [
        (["coco-clip", "shapes-dino-1"], ["coco-blip-1"]),
        (["--all"], []),
        (["--unused", "30"], ["coco-blip-1", "coco-clip-2"]),
        (["coco-clip", "--unused", "30"], ["coco-blip-1", "coco-clip-2", "shapes-dino-1"]),
    ],
)
@pytest.mark.parametrize("complete", [True, False])
def test_prune_deletes_what_is_named_and_not_used_for_longer_and_nothing_else(folder, capsys, words, left, complete):
    for name, days in STORES.items():
        store(folder, name, complete=complete, days=days)
    assert run("prune", *words) == 0
    assert names(folder) == left and capsys.readouterr().out.count("deleted ") == len(STORES) - len(left)


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["prune", "coco-clip-1", "coco-beit"], "no stored features are called 'coco-beit'"),
        (["prune", "coco-clip-1", ""], "no stored features are called ''"),
        *((words, "cache prune needs names, --unused DAYS or --all") for words in (["prune"], ["list", "--all"], ["--unused", "3"])),
    ],
)  # fmt: skip
def test_words_that_fit_nothing_delete_nothing(folder, capsys, words, error):
    store(folder, "coco-clip-1", days=40)
    assert run(*words) == 2 and error in capsys.readouterr().err
    for days in ("-1", "nan", "inf", "soon"):
        with pytest.raises(SystemExit):
            run("prune", "--unused", days)
        assert "expected a number of days from 0" in capsys.readouterr().err
    assert names(folder) == ["coco-clip-1"]


def test_links_and_other_peoples_folders_are_neither_listed_nor_deleted(folder, tmp_path, capsys):
    store(tmp_path / "elsewhere", "coco-clip-1")
    (folder / "notes").mkdir(parents=True)
    (folder / "coco-clip-1").symlink_to(tmp_path / "elsewhere" / "coco-clip-1")
    assert run("prune", "--all") == 0 and "nothing to delete" in capsys.readouterr().out
    assert names(folder) == ["coco-clip-1", "notes"] and (folder / "coco-clip-1" / "complete").exists()


def test_what_a_process_works_on_is_kept(folder, capsys):
    for name in ("coco-clip-1", "coco-clip-2"):
        store(folder, name)
    with FileLock(folder / "coco-clip-1.lock"):
        run("prune", "--all")
    assert "kept coco-clip-1: a process is working on it" in capsys.readouterr().out
    assert names(folder) == ["coco-clip-1", "coco-clip-1.lock"]


def test_a_pass_holds_that_lock_from_beginning_to_end(clip):
    lines = []
    pruning = Changed(clip, image=lambda pixels: lines.extend(cache.prune([], None)) or clip.image(pixels))
    key = extract(work(pruning), TRAIN, TEST).key
    assert len(lines) >= 4 and all(line.startswith(f"kept scenes-clip-{key}") for line in lines)


def test_use_counts_from_the_last_opening_and_who_reads_deleted_features_keeps_them(clip, folder):
    features = extract(work(clip), TRAIN, TEST)
    before = features.train.joint.clone()
    os.utime(folder / f"scenes-clip-{features.key}" / "complete", (time.time() - 10 * DAY,) * 2)
    assert cache.entries()[0].unused_days > 9
    extract(work(clip), TRAIN, TEST)
    assert cache.entries()[0].unused_days < 1
    cache.prune([], None)
    assert names(folder) == [] and torch.equal(features.train.joint, before)
