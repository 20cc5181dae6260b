"""What every dataset that needs no files must be; one that is added is checked here by itself."""

import pytest
import torch

from bench import data, registry
from bench.data.prepared import is_prepared_kind
from bench.data.split import Split

DRAWN = [name for name in registry.names("dataset") if not is_prepared_kind(name)]
TRAIN, TEST = 48, 40


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
