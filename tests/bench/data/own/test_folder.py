"""What a folder is taken for, and which of its images are for training."""

import pytest

from bench.data import own
from bench.data.own import folder
from bench.declared import Images
from bench.kit.errors import UserError

MANY = [f"{number}.jpg" for number in range(200)]
PETS = [f"{name}/{number}.jpg" for name in ("cat", "dog") for number in range(20)]


@pytest.fixture
def images(tmp_path):
    """``images(*names, **options)``: a declared folder of files of these names, which are empty."""

    def declared(*names, **options):
        own.forget()
        for name in names:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).touch()
        return Images(str(tmp_path), **options)

    return declared


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        (PETS, "classification"),
        ([f"pets/images/{name}" for name in PETS], "classification"),  # an archive's own folders
        ([f"{name}/images/{number}.png" for name in ("cat", "dog") for number in range(9)], "classification"),
        (["cat/1.jpg", "cat/old/2.jpg", "dog/young/3.jpg"], "classification"),
        (["train/cat/1.jpg", "train/dog/2.jpg", "val/cat/3.jpg"], "classification"),
        (["Training/cat/1.jpg", "Training/dog/2.jpg", "Test/cat/3.jpg", "Test/dog/3.jpg"], "classification"),
        (["train/1.jpg", "val/2.jpg"], "images"),
        (MANY, "images"),
        (["1.jpg", "more/2.jpg", "more/still/3.jpg"], "images"),
        ([f"cat/{name}" for name in MANY], "images"),  # a single folder tells nothing apart
    ],
)
def test_the_kind_is_seen_from_the_folder(images, names, kind):
    assert own.kind(images(*names)) == kind


@pytest.mark.parametrize("labels", ["folders", "none"])
@pytest.mark.parametrize(
    "names",
    [[*PETS, "stray.jpg"], ["2023/01/1.jpg", "2023/02/2.jpg", "2024/01/3.jpg", "2024/02/4.jpg"]],
)
def test_where_folders_may_be_classes_the_matrix_has_to_say(images, names, labels):
    with pytest.raises(
        UserError, match=r"may be classes or not: say which with 'labels: folders' .* or 'labels: none'"
    ):
        own.kind(images(*names))
    assert own.kind(images(*names, labels=labels)) == ("classification" if labels == "folders" else "images")


def test_what_is_not_there_or_empty_is_refused_with_what_was_looked_for(images, tmp_path):
    with pytest.raises(UserError, match="there is no such folder of images"):
        own.kind(Images(str(tmp_path / "nowhere")))
    with pytest.raises(
        UserError, match=r"has no images: looked for images \(.jpg .*class folders.*\.tar.*; there is nothing"
    ):
        own.kind(images())
    with pytest.raises(UserError, match=r"there is 1 .txt, 1 .csv"):
        own.kind(images("a.txt", "b.csv"))
    with pytest.raises(UserError, match=r"val/ has images in no class folder, and train/ has class folders"):
        own.kind(images("train/cat/1.jpg", "train/dog/1.jpg", "val/1.jpg"))


def test_what_systems_leave_is_skipped_and_other_files_are_counted(images):
    junk = [".DS_Store", "Thumbs.db", "__MACOSX/cat/1.jpg", "cat/._1.jpg", ".hidden/2.jpg", "cat/desktop.ini"]
    index = folder.index(images(*PETS, *junk, "notes.txt", "cat/labels.csv"))
    assert sorted(name for files in index.files.values() for name in files) == sorted(PETS)
    assert index.left_out == {"no image by its ending (.txt)": 1, "no image by its ending (.csv)": 1}


def test_labels_are_the_folders_names_in_order(images):
    index = folder.index(images(*PETS))
    assert index.classes == ["cat", "dog"]
    for split, files in index.files.items():
        assert index.labels[split] == [int(name.startswith("dog/")) for name in files]


def test_a_split_never_changes_as_images_are_added(images):
    before = folder.index(images(*MANY)).files
    after = folder.index(images(*(f"later-{name}" for name in MANY))).files
    assert [name for name in after["test"] if not name.startswith("later")] == before["test"]
    assert 25 < len(before["test"]) < 55  # 200 draws at 0.2: mean 40, standard deviation 5.7
    assert folder.index(images(test=0.5)).files["test"] != after["test"]


def test_a_hash_that_is_known_decides():
    # `printf 0.jpg | sha256sum` and so on begin with 3938 4c46 88a5 da87 acf1 3fd5 7ce8 86a8; 0.3 of ffff is 4ccc.
    assert [name for name in MANY[:8] if folder.is_held_out(name, 0.3)] == ["0.jpg", "1.jpg", "5.jpg"]


def test_train_and_test_are_taken_where_they_are(images):
    names = ["train/cat/1.jpg", "train/dog/2.jpg", "val/cat/3.jpg", "val/dog/4.jpg", "test/cat/5.jpg", "test/dog/6.jpg"]
    index = folder.index(images(*names))
    assert index.files == {"train": names[:2], "test": names[4:]}
    assert index.left_out == {"beside the folders of the splits": 2}


def test_a_class_that_training_lacks_is_refused(images):
    with pytest.raises(UserError, match=r"test/ has images of 'bird', of which train/ has no training images"):
        folder.index(images("train/cat/1.jpg", "train/dog/1.jpg", "test/cat/1.jpg", "test/bird/1.jpg"))


def test_a_split_without_images_is_refused(images):
    with pytest.raises(UserError, match=r"none of its 2 images falls to the test split"):
        folder.index(images("a.jpg", "b.jpg", test=0.0001))


def test_odd_names_and_links(images, tmp_path):
    odd = ["a b.JPG", "ümläut.Jpeg", "x.y.z.png", "new\nline.jpg", "'quote\".jpg", "-dash.jpg"]
    declared = images(*odd)
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "nowhere.jpg").symlink_to(tmp_path / "gone.jpg")
    own.forget()
    files = folder.index(declared).files
    assert sorted(files["train"] + files["test"]) == sorted([*odd, "nowhere.jpg"])


def test_what_the_suite_itself_keeps_below_the_folder_is_no_image_of_it(images, tmp_path, monkeypatch):
    monkeypatch.setenv("DISTILL_BENCH_DATA", str(tmp_path / "data"))
    index = folder.index(images(*PETS, "data/pets-1234/files/1.jpg", "my/run/matrix.yaml", "my/run/plots/x/gain.svg"))
    assert sum(map(len, index.files.values())) == len(PETS) and not index.left_out
