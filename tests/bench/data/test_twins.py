"""Files that are there twice, counted by hand and left out."""

from dataclasses import replace
from pathlib import Path

import torch

from bench import data
from bench.data import twins

TRAIN, TEST = ["a", "b", "c", "b", "d", "b"], ["x", "c", "y", "b"]


def test_evaluation_images_and_copies_are_counted_with_their_labels():
    assert twins.count(TRAIN, TEST, None) == twins.Twins(seen=2, copies=2)
    labels = [0, 1, 2, 1, 3, 9], [0, 2, 2, 5]
    assert twins.count(TRAIN, TEST, labels) == twins.Twins(2, 2, seen_otherwise=1, copies_otherwise=1)
    assert twins.count("abc", "xyz", None).text == ""


def named(dataset, checksums):
    split = data.load(dataset, "train", len(checksums))
    return replace(split, checksums=tuple(checksums), files=tuple(map(Path, map(str, range(len(checksums))))))


def test_they_are_left_out_of_training_with_their_labels_and_captions():
    for dataset in ("shapes", "scenes"):
        train, test = named(dataset, TRAIN), named(dataset, TEST)
        kept = twins.left_out(train, test)
        assert kept.checksums == ("a", "d") and torch.equal(kept.pixels, train.pixels[[0, 4]])
        assert [file.name for file in kept.files] == ["0", "4"] and kept.identity != train.identity
        kept.check(dataset)
        if dataset == "shapes":
            assert torch.equal(kept.labels, train.labels[[0, 4]])
        else:
            own = [[text for text, image in zip(part.captions, part.owner, strict=True) if image == row]
                   for part, row in ((kept, 0), (kept, 1), (train, 0), (train, 4))]  # fmt: skip
            assert own[:2] == own[2:] and len(own[0]) == 5


def test_a_split_without_any_stays_as_it_is():
    train, test = named("shapes", "abc"), named("shapes", "xyz")
    assert twins.left_out(train, test) is train
