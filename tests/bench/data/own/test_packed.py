"""Images that are packed with what is known of them: tars as WebDataset has them, parquet and Arrow as ``datasets``."""

import io
import json
import sys
import tarfile
from contextlib import contextmanager
from pathlib import Path

import pytest

from bench import data
from bench.data import own
from bench.declared import Images
from bench.kit.errors import UserError
from bench.prepare.own import make_ready
from tests.bench.data.own import made

COUNT = 40


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("DISTILL_BENCH_DATA", str(tmp_path / "data"))


@pytest.fixture
def pictures(tmp_path):
    """The bytes of some images."""
    return [made.picture(tmp_path / f"{number}.png", number).read_bytes() for number in range(COUNT)]


def tar(path, samples):
    """A tar of ``{name: bytes or text}``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, content in samples.items():
            content = content if isinstance(content, bytes) else content.encode()
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def ready(folder, say=lambda text: None, **options):
    declared = Images(str(folder), size=16, **options)
    own.forget()
    kind = own.kind(declared)

    @contextmanager
    def task(title):
        yield lambda done, total: None

    make_ready("mine", declared, say, task)
    return kind, {split: data.load("mine", split, None, images=declared) for split in ("train", "test")}


def contents(splits):
    return sorted(file.read_bytes() for split in splits.values() for file in split.files)


def labels(splits):
    return {
        file.read_bytes(): split.classes[label]
        for split in splits.values()
        for file, label in zip(split.files, split.labels, strict=True)
    }


def test_a_tar_with_labels(tmp_path, pictures):
    samples = {}
    for number, picture in enumerate(pictures):
        samples |= {
            f"./{number:03}.PNG": picture,
            f"./{number:03}.cls": f"{number % 11}\n",
            f"./{number:03}.json": "{}",
        }
    tar(tmp_path / "web" / "a-000.tar", samples)
    kind, splits = ready(tmp_path / "web")
    assert (kind, contents(splits)) == ("classification", sorted(pictures))
    assert labels(splits) == {picture: str(number % 11) for number, picture in enumerate(pictures)}
    assert splits["train"].classes == tuple(map(str, range(11)))  # 2 before 10


def test_tars_with_captions_in_folders_of_the_splits(tmp_path, pictures):
    for split, part in (("train", range(30)), ("val", range(30, 39))):
        samples = {}
        for number in part:
            samples[f"x/{number}.png"] = pictures[number]
            samples[f"x/{number}.{'txt' if number % 2 else 'json'}"] = (
                f" a  thing {number}\n" if number % 2 else json.dumps({"caption": f"a thing {number}"})
            )
        tar(tmp_path / "web" / split / "0.tar", samples | {"x/99.png": pictures[39]})  # without a caption
    kind, splits = ready(tmp_path / "web")
    assert kind == "captions"
    assert [len(split) for split in splits.values()] == [30, 9]
    for split in splits.values():
        assert [pictures[int(text.split()[-1])] for text in split.captions] == [
            file.read_bytes() for file in split.files
        ]


def test_a_tar_of_images_alone_and_one_that_is_cut_short(tmp_path, pictures):
    tar(tmp_path / "web" / "0.tar", {f"{number}.jpg": picture for number, picture in enumerate(pictures)})
    kind, splits = ready(tmp_path / "web")
    assert (kind, contents(splits), splits["train"].labels) == ("images", sorted(pictures), None)
    path = tmp_path / "web" / "0.tar"
    path.write_bytes(path.read_bytes()[: 3 * 512 + 100])
    with pytest.raises(UserError, match=r"0\.tar: no whole tar file"):
        ready(tmp_path / "web")


def test_labels_may_be_left_unread(tmp_path, pictures):
    samples = {}
    for number, picture in enumerate(pictures):
        samples |= {f"{number}.png": picture, f"{number}.cls": "1", f"{number}.txt": "a thing"}
    tar(tmp_path / "web" / "0.tar", samples)
    assert own.kind(Images(str(tmp_path / "web"))) == "classification"
    assert own.kind(Images(str(tmp_path / "web"), labels="none")) == "captions"


def test_a_tar_whose_first_image_has_no_label(tmp_path, pictures):
    samples = {"000.png": pictures[0]}
    for number, picture in enumerate(pictures[1:], 1):
        samples |= {f"{number:03}.png": picture, f"{number:03}.cls": "-1" if number == 1 else str(number % 2)}
    tar(tmp_path / "web" / "0.tar", samples)
    lines = []
    kind, splits = ready(tmp_path / "web", lines.append)
    assert (kind, splits["train"].classes) == ("classification", ("0", "1"))
    assert labels(splits) == {picture: str(number % 2) for number, picture in enumerate(pictures) if number > 1}
    assert "  2 left out: without a label" in lines


def test_labels_that_come_late_are_no_images_alone(tmp_path, pictures, monkeypatch):
    monkeypatch.setattr("bench.data.own.packed.LOOKED_AT", 10)
    samples = {f"{number:03}.png": picture for number, picture in enumerate(pictures)} | {"039.cls": "1"}
    tar(tmp_path / "web" / "0.tar", samples)
    with pytest.raises(
        UserError, match=r"'039' in 0\.tar has a label, and the first 10 images have none: .* 'labels: none'"
    ):
        ready(tmp_path / "web")
    assert ready(tmp_path / "web", labels="none")[0] == "images"
    samples["039.txt"] = samples.pop("039.cls")
    tar(tmp_path / "web" / "0.tar", samples)
    with pytest.raises(UserError, match=r"'039' in 0\.tar has captions, and .*: give all of them captions$"):
        ready(tmp_path / "web")


def table(pictures):
    """As ``datasets`` has it: a struct of bytes and path, and numbers whose names stand in the schema."""
    pyarrow = pytest.importorskip("pyarrow")
    image = pyarrow.array(
        [{"bytes": picture, "path": f"{number}.png"} for number, picture in enumerate(pictures)],
        pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())]),
    )
    label = pyarrow.array([number % 2 for number in range(len(pictures))])
    features = {"image": {"_type": "Image"}, "label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    return pyarrow.table({"image": image, "label": label}).replace_schema_metadata(metadata)


def test_a_data_set_that_was_saved_to_disk(tmp_path, pictures):
    pyarrow = pytest.importorskip("pyarrow")
    for split, part in (("train", slice(0, 30)), ("test", slice(30, 40))):
        rows, folder = table(pictures[part]), tmp_path / "saved" / split
        folder.mkdir(parents=True)
        with pyarrow.ipc.new_stream(folder / "data-00000-of-00001.arrow", rows.schema) as stream:
            stream.write_table(rows)
        (folder / "state.json").write_text("{}")
    kind, splits = ready(tmp_path / "saved")
    assert kind == "classification"
    assert [len(split) for split in splits.values()] == [30, 10]
    assert labels(splits) == {picture: ("cat", "dog")[number % 2] for number, picture in enumerate(pictures)}


def test_an_image_in_several_rows_is_one_with_several_captions(tmp_path, pictures):
    """Once with names that differ in each row, once in files of splits."""
    samples = {}
    for row in range(2 * COUNT):
        samples |= {f"{row:03}.png": pictures[row % COUNT], f"{row:03}.txt": f"{'a' if row < COUNT else 'the'} thing"}
    tar(tmp_path / "web" / "0.tar", samples)
    _, splits = ready(tmp_path / "web")
    assert contents(splits) == sorted(pictures)
    assert all(split.captions == ("a thing", "the thing") * len(split) for split in splits.values())
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    (tmp_path / "hub").mkdir()
    for split, part in (
        ("train", pictures[:30]),
        ("test", pictures[29:]),
    ):  # one of both stays in both, and is told as such
        rows = [picture for picture in part for _ in range(2)]
        names = pyarrow.table({"image": rows, "caption": ["a thing", "the thing"] * len(part)})
        parquet.write_table(names, tmp_path / "hub" / f"{split}.parquet")
    _, splits = ready(tmp_path / "hub")
    assert [(len(split), len(split.captions)) for split in splits.values()] == [(30, 60), (11, 22)]


@pytest.mark.parametrize("value", [-1, None])
def test_a_test_split_without_labels_is_not_held_out(tmp_path, pictures, value):
    """As ImageNet on the hub, whose test split comes first by its name."""
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    folder = tmp_path / "hub" / "data"
    folder.mkdir(parents=True)
    unlabelled = pyarrow.array([value] * 5, pyarrow.int64())
    test = table(pictures[:5]).set_column(1, "label", unlabelled)
    parts = {"test": test, "train": table(pictures[5:30]), "validation": table(pictures[30:])}
    for split, rows in parts.items():
        parquet.write_table(rows, folder / f"{split}-00000-of-00001.parquet")
    lines = []
    kind, splits = ready(tmp_path / "hub", lines.append)
    assert (kind, splits["train"].classes) == ("classification", ("cat", "dog"))
    assert [len(split) for split in splits.values()] == [25, 10]
    assert "  5 left out: of test, which has no labels: val is held out" in lines
    (folder / "validation-00000-of-00001.parquet").unlink()
    lines.clear()
    kind, splits = ready(tmp_path / "hub", lines.append)
    assert (kind, sum(map(len, splits.values()))) == ("classification", 25)
    assert "  5 left out: of test, which has no labels: a share of train is held out" in lines
    parquet.write_table(table(pictures[:5]), folder / "test-00000-of-00001.parquet")
    parquet.write_table(parts["validation"], folder / "validation-00000-of-00001.parquet")
    parquet.write_table(table(pictures[:2]), folder / "more.parquet")
    lines.clear()
    assert [len(split) for split in ready(tmp_path / "hub", lines.append)[1].values()] == [25, 5]
    assert {"  10 left out: of val: test is held out", "  2 left out: in packed files of no split"} < set(lines)


def test_parquet_files_with_captions_or_with_labels(tmp_path, pictures):
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    (tmp_path / "tables").mkdir()
    parquet.write_table(table(pictures), tmp_path / "tables" / "0.parquet", row_group_size=7)
    kind, splits = ready(tmp_path / "tables")
    assert (kind, contents(splits), splits["train"].classes) == ("classification", sorted(pictures), ("cat", "dog"))
    texts = [[f"a thing {number}", "something"] for number in range(COUNT)]
    (tmp_path / "tables" / "0.parquet").unlink()
    parquet.write_table(pyarrow.table({"jpg": pictures, "text": texts}), tmp_path / "tables" / "1.parquet")
    kind, splits = ready(tmp_path / "tables")
    assert (kind, contents(splits)) == ("captions", sorted(pictures))
    assert all(len(split.captions) == 2 * len(split) for split in splits.values())
    parquet.write_table(pyarrow.table({"x": [1]}), tmp_path / "tables" / "1.parquet")
    with pytest.raises(UserError, match=r"1\.parquet: no column of images: expected image, .*; it has x"):
        ready(tmp_path / "tables")


def test_missing_labels_and_lists_of_labels_of_a_table(tmp_path, pictures):
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "tables" / "0.parquet"
    path.parent.mkdir()
    nan = float("nan")
    parquet.write_table(pyarrow.table({"image": pictures, "label": [nan, *[0.0, 1.0, 10.0] * 13]}), path)
    lines = []
    kind, splits = ready(path.parent, lines.append)
    assert (kind, splits["train"].classes) == ("classification", ("0", "1", "10"))
    assert labels(splits) == {picture: ("0", "1", "10")[number % 3] for number, picture in enumerate(pictures[1:])}
    assert "  1 left out: without a label" in lines
    parquet.write_table(pyarrow.table({"image": pictures, "labels": [[0, 1]] * COUNT}), path)
    with pytest.raises(
        UserError, match=r"0\.parquet: its column 'labels' has \[0, 1\], and one class an image is expected"
    ):
        ready(path.parent)
    assert ready(path.parent, labels="none")[0] == "images"


def test_what_needs_pyarrow_says_so(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    (tmp_path / "d.parquet").write_bytes(b"PAR1")
    with pytest.raises(UserError, match=r"d\.parquet: needs pyarrow to be read: uv sync --extra tables"):
        own.kind(Images(str(tmp_path)))


def test_captions_in_a_file_are_for_images_in_files(tmp_path, pictures):
    tar(tmp_path / "web" / "0.tar", {"0.png": pictures[0]})
    with pytest.raises(UserError, match=r"captions .* are for images in files"):
        own.kind(Images(str(tmp_path / "web"), captions=str(Path("c.csv"))))
