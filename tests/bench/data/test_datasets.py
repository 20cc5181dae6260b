"""What every dataset that needs no files must be; one that is added is checked here by itself."""

import pytest
import torch

from bench import data, registry
from bench.data.prepared import is_prepared_kind
from bench.data.split import Split
from bench.kit.errors import UserError

DRAWN = [name for name in registry.names("dataset") if not is_prepared_kind(name)]
TRAIN, TEST = 48, 40
PIXELS, OWNER = torch.zeros(3, 3, 4, 4, dtype=torch.uint8), torch.arange(3)


@pytest.fixture(scope="module", params=DRAWN)
def dataset(request) -> tuple[str, Split, Split]:
    """A dataset's name and its two splits."""
    return request.param, data.load(request.param, "train", TRAIN), data.load(request.param, "test", TEST)


def test_images_are_square_bytes_and_as_many_as_asked_for(dataset):
    _, train, test = dataset
    for split, count in ((train, TRAIN), (test, TEST)):
        assert split.pixels.shape == (count, 3, split.side, split.side) and split.pixels.dtype == torch.uint8
    assert train.side == test.side


def test_labels_or_captions_belong_to_the_images(dataset):
    name, *splits = dataset
    for split in splits:
        if registry.constant("dataset", name, "KIND") == "classification":
            assert split.labels.dtype == torch.int64 and split.labels.shape == (len(split),)
            assert split.classes == splits[0].classes and len(set(split.classes)) == len(split.classes) > 1
            assert split.labels.min() >= 0 and split.labels.max() < len(split.classes)
        else:
            assert split.owner.dtype == torch.int64 and split.owner.shape == (len(split.captions),)
            assert split.owner.unique_consecutive().tolist() == list(range(len(split)))  # ascending, none without
            assert all(isinstance(caption, str) and caption for caption in split.captions)


def test_the_same_seed_draws_the_same_and_nothing_is_in_both_splits(dataset):
    name, train, test = dataset
    assert data.load(name, "train", TRAIN).identity == train.identity
    assert data.load(name, "train", TRAIN, seed=1).identity != train.identity
    images = {bytes(image.numpy()) for image in train.pixels}
    assert not images & {bytes(image.numpy()) for image in test.pixels}


def captioned(pixels=PIXELS, captions=("a", "b", "c"), owner=OWNER):
    return Split(pixels, captions=captions, owner=owner)


def labelled(labels, pixels=PIXELS):
    return Split(pixels, classes=("cat", "dog"), labels=torch.tensor(labels))


@pytest.mark.parametrize(("split", "message"), [
    (captioned(owner=torch.tensor([0, 2, 2])), "image 1 has no caption: leave it out"),
    (captioned(owner=torch.tensor([0, 2, 1])), "the owner of caption 1 is a later image than the next caption's: sort by owner"),
    (captioned(owner=torch.tensor([0, 1, 3])), "the owner of caption 2 is none of the 3 images"),
    (captioned(owner=torch.tensor([0, 1])), r"owner must be int64 \[3\], not int64 \[2\]"),
    (captioned(captions=("a", None, "c")), "caption 1 is no text, or an empty one"),
    (captioned(captions=("a", "b", " ")), "caption 2 is no text, or an empty one"),
    (labelled([0, -1, 1]), "image 1 has no label from 0 to 1, its place in the classes"),
    (labelled([0, 1, 10**6]), "image 2 has no label from 0 to 1"),
    (labelled([0, 1]), r"labels must be int64 \[3\], not int64 \[2\]"),
    (labelled([0.0, 1.0, 1.0]), r"labels must be int64 \[3\], not float32 \[3\]"),
    (labelled([0, 1, 1], PIXELS[:, :1]), r"pixels must be uint8 \[N, 3, H, W\], not uint8 \[3, 1, 4, 4\]"),
    (labelled([0, 1, 1], PIXELS.float()), r"pixels must be uint8 \[N, 3, H, W\], not float32"),
    (Split(PIXELS), "images need either labels, or captions with their owner"),
])  # fmt: skip
def test_a_split_of_ones_own_is_checked_once_and_the_image_named(monkeypatch, split, message):
    monkeypatch.setattr("bench.data.shapes.load", lambda *words: split)
    with pytest.raises(UserError, match=f"^dataset shapes, train split: {message}"):
        data.load("shapes", "train", 3)
