"""What people have on disk: unpacked folders, repacked archives, lists of more images than there are, macOS's additions."""

import itertools
import json
import os
import shutil
import zipfile

import pytest

from bench import data
from bench.__main__ import main
from bench.data import coco, tiny_imagenet
from bench.data.archives import PrepareError
from bench.prepare import unpack
from tests.bench.prepare import made
from tests.bench.prepare.made import ROOT, WNIDS
from tests.bench.prepare.outcome import TINY, content_of, refused, set_free_disk

PICTURE = f"{ROOT}/val/images/val_3.JPEG"
MACOS = (f"__MACOSX/{ROOT}/val/images/._val_3.JPEG", f"{ROOT}/.DS_Store", f"{ROOT}/val/images/._val_3.JPEG")


def bytes_in(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def splits_of(folder):
    return {name: part["images"] for name, part in json.loads((folder / "manifest.json").read_text())["splits"].items()}


def without_manifest(content):
    """Another source stands in the manifest."""
    return {name: part for name, part in content.items() if name != "manifest.json"}


@pytest.fixture
def whole(monkeypatch):
    """Let what is made here have the official counts."""
    monkeypatch.setattr(tiny_imagenet, "EXPECTED", {"train": 200, "test": 10})
    monkeypatch.setattr(coco, "EXPECTED", {"train": 3, "test": 2})


@pytest.fixture
def archived(given, tmp_path):
    """What is read later where the archive was prepared."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DISTILL_BENCH_DATA", str(tmp_path / "archived"))
        made.prepared(TINY, given)
    return content_of(tmp_path / "archived" / TINY)


@pytest.mark.parametrize("below", ["", TINY])
def test_an_unpacked_folder_becomes_what_its_archive_becomes_by_links(archived, whole, place, tmp_path, capsys, below):
    folder = made.unpacked(tmp_path / "given" / below, made.tiny_imagenet()) / ROOT
    before = bytes_in(folder)
    assert main(["prepare", TINY, "--archives", str(tmp_path / "given")]) == 0
    assert f"{folder} was unpacked by somebody: it is not verified against the official" in capsys.readouterr().out
    assert without_manifest(content_of(place)) == without_manifest(archived)
    assert (place / "files" / PICTURE).samefile(folder.parent / PICTURE)
    source = [{"name": ROOT, "bytes": sum(map(len, before.values()))}]
    assert json.loads((place / "manifest.json").read_text())["archives"] == source
    assert "prepared already" in made.prepared(TINY, tmp_path / "given", subset=False)[-1]
    assert bytes_in(folder) == before


def test_cocos_folders_are_taken_one_by_one_and_an_archive_comes_first(whole, place, tmp_path):
    folder = made.unpacked(tmp_path / "given/coco", made.coco())
    made.prepared("coco", tmp_path / "given", subset=False)
    assert [len(data.load("coco", split, None)) for split in ("train", "test")] == [3, 2]
    archives = made.archives(tmp_path / "archives", made.coco(train=4))
    for name in ("train2017.zip", "annotations_trainval2017.zip"):
        (archives / name).rename(tmp_path / "given" / name)
    made.prepared("coco", tmp_path / "given")
    manifest = json.loads((place.with_name("coco") / "manifest.json").read_text())
    assert [one["name"] for one in manifest["archives"]] == ["train2017.zip", "val2017", "annotations_trainval2017.zip"]
    assert manifest["splits"]["train"]["images"] == 4
    assert bytes_in(folder) == made.coco()


def test_a_folder_of_another_count_is_no_whole_set(place, tmp_path, capsys):
    made.unpacked(tmp_path / "given", made.tiny_imagenet())
    error = refused(capsys, TINY, "--archives", tmp_path / "given")
    assert "has 200 train images and 10 test images, expected 100,000 train images" in error and "--subset" in error
    made.prepared(TINY, tmp_path / "given")
    assert splits_of(place) == {"train": 200, "test": 10}


@pytest.mark.parametrize("name", ["", "my images", f"{TINY}/any"])
def test_tiny_imagenets_folder_is_known_by_its_list_of_classes(archived, place, tmp_path, name, capsys):
    made.unpacked(tmp_path, made.tiny_imagenet())
    folder = tmp_path / "given" / name
    folder.parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / ROOT).rename(folder)
    made.prepared(TINY, tmp_path / "given")
    pixels = "pixels-test/pixels.bin"
    assert content_of(place)[pixels] == archived[pixels] and splits_of(place) == {"train": 200, "test": 10}
    if name:
        shutil.copytree(folder, tmp_path / "given/other")
        error = refused(capsys, TINY, "--archives", tmp_path / "given", "--subset")
        assert f"{folder}" in error and f"{tmp_path / 'given/other'}" in error and "name one of them" in error


def test_a_folder_is_not_prepared_into_itself(tmp_path, capsys):
    folder = made.unpacked(tmp_path, made.tiny_imagenet()) / ROOT
    words = (capsys, TINY, "--archives", folder, "--subset", "--data", folder / "data")
    assert f"{folder} cannot be prepared into itself; choose another place with --data" in refused(*words)


@pytest.mark.parametrize("linking", [True, False])
def test_an_interruption_goes_on_and_what_the_user_changes_is_taken_anew(given, place, tmp_path, monkeypatch, linking):
    folder = made.unpacked(tmp_path / "given", made.tiny_imagenet())
    calls, place_file = itertools.count(1), unpack._link_or_copy

    def interrupted(source, target):
        place_file(source, target)
        if next(calls) == 77:
            raise KeyboardInterrupt

    def no_links(source, target):
        raise OSError("another disk")

    if not linking:
        monkeypatch.setattr(os, "link", no_links)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(unpack, "_link_or_copy", interrupted)
        made.prepared(TINY, folder)
    assert not (place / "manifest.json").exists() and list(place.rglob(".*")) == []
    made.prepared(TINY, folder)
    assert next(calls) == 78 and bytes_in(place / "files") == made.tiny_imagenet()
    assert (place / "files" / PICTURE).samefile(folder / PICTURE) == linking
    for changed in made.picture(70), made.picture(71, (80, 80)):
        (folder / "new").write_bytes(changed)
        (folder / "new").rename(folder / PICTURE)
        (folder / f"{ROOT}/note.txt").write_text("another sum of bytes" * len(changed))
        made.prepared(TINY, folder)
        assert (place / "files" / PICTURE).read_bytes() == changed
    made.prepared(TINY, given)
    assert (place / "files" / PICTURE).read_bytes() == made.tiny_imagenet()[PICTURE]
    assert (folder / PICTURE).read_bytes() == changed


def test_links_and_special_files_in_a_folder_are_refused_by_name_and_nothing_is_changed(given, place, tmp_path):
    made.prepared(TINY, given)
    before = content_of(place)
    folder = made.unpacked(tmp_path / "given", made.tiny_imagenet(validation=9)) / ROOT
    hostile = {
        "link.JPEG": lambda path: path.symlink_to(folder / "words.txt"),
        "folder": lambda path: path.symlink_to(folder / "val"),
        "nowhere": lambda path: path.symlink_to("nothing"),
        "pipe": os.mkfifo,
        "odd\\name": lambda path: path.write_text(""),
        "od\nd": lambda path: path.mkdir(),
        "\udcff": lambda path: path.write_text(""),
    }
    for name, make in hostile.items():
        make(folder / "train" / name)
        with pytest.raises(PrepareError) as refusal:
            made.prepared(TINY, tmp_path / "given")
        assert f"{f'{ROOT}/train/{name}'!r} " in str(refusal.value), name
        (folder / "train" / name).rmdir() if name == "od\nd" else (folder / "train" / name).unlink()
    assert content_of(place) == before and len(data.load(TINY, "test", None)) == 10


def test_links_need_no_disk_and_copies_do(place, tmp_path, monkeypatch):
    folder = made.unpacked(tmp_path / "given", made.tiny_imagenet()) / ROOT
    needed = sum(-(-len(part) // 4096) * 4096 for part in made.tiny_imagenet().values())

    def with_free(free):
        set_free_disk(monkeypatch, free)
        unpack.check([(folder, 0)], place / "files")

    with_free(0)
    monkeypatch.setattr(unpack, "nearest_existing", lambda path: type(path)("/proc"))  # another file system
    with pytest.raises(PrepareError, match=r"tiny-imagenet-200: .* needs .* MB more, and its disk lacks .* MB of it"):
        with_free(needed - 1)
    with_free(needed)


def test_a_repacked_archive_is_said_to_be_one_and_accepted_as_a_subset(official, place, tmp_path, capsys):
    made.archives(tmp_path / "given", dict(reversed(made.tiny_imagenet().items())))
    error = refused(capsys, TINY, "--archives", tmp_path / "given")
    assert f"{ROOT}.zip is not the official file: expected " in error
    assert "--subset accepts a repacked or a smaller one" in error
    made.prepared(TINY, tmp_path / "given")
    assert splits_of(place) == {"train": 200, "test": 10}


@pytest.mark.parametrize("make", [made.archives, made.unpacked])
def test_what_macos_adds_is_ignored(archived, place, tmp_path, make):
    make(tmp_path / "given", made.tiny_imagenet() | dict.fromkeys(MACOS, b"\0\5\26\7"))
    if make is made.archives:
        with zipfile.ZipFile(tmp_path / f"given/{ROOT}.zip", "a") as file:
            file.writestr(f"__MACOSX/._{ROOT}", b"\0\5\26\7")
    made.prepared(TINY, tmp_path / "given")
    assert without_manifest(content_of(place)) == without_manifest(archived)
    assert json.loads((place / "manifest.json").read_text())["left_out"] == {}
    assert not {"__MACOSX", ".DS_Store", "._val_3.JPEG"} & {path.name for path in place.rglob("*")}


def few_of_tiny_imagenet():
    """The lists of three images a class, of which one is there."""
    content = made.tiny_imagenet(train=3, validation=10)
    dropped = [f"{ROOT}/train/{wnid}/images/{wnid}_{image}.JPEG" for wnid in WNIDS for image in (0, 2)]
    return {name: part for name, part in content.items() if name not in (*dropped, PICTURE)}


@pytest.mark.parametrize("make", [made.archives, made.unpacked])
def test_images_that_only_the_lists_name_are_left_out_of_a_subset_and_counted(place, tmp_path, make):
    given = make(tmp_path / "given", few_of_tiny_imagenet())
    assert "  401 images left out: not in the archives" in made.prepared(TINY, given)
    assert splits_of(place) == {"train": 200, "test": 9}
    assert json.loads((place / "manifest.json").read_text())["left_out"] == {"not in the archives": 401}
    names = [path.name for path in data.load(TINY, "test", None).files]
    assert names == [f"val_{image}.JPEG" for image in range(10) if image != 3]
    assert data.load(TINY, "test", None).labels.tolist() == [7 * image for image in range(10) if image != 3]


def test_without_subset_they_are_bad_and_the_way_out_is_named(whole, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(tiny_imagenet, "EXPECTED", {"train": 600, "test": 10})
    made.unpacked(tmp_path / "given", few_of_tiny_imagenet())
    error = refused(capsys, TINY, "--archives", tmp_path / "given")
    assert "400 of 600 images of train are bad" in error and "--subset leaves out those that are missing" in error
