"""What a classifier is fitted on."""

from dataclasses import replace
from pathlib import Path

import torch

from bench.data.split import Split
from bench.export import classifier
from bench.plan import matrix

CHECKSUMS = {"train": ("a", "b", "c", "b", "d"), "test": ("x", "c", "b")}


def test_images_that_the_student_did_not_learn_from_fit_no_classifier_either(monkeypatch):
    def load(name, split, count, images):
        known = CHECKSUMS[split]
        pixels = torch.zeros(len(known), 3, 8, 8, dtype=torch.uint8)
        return Split(pixels, labels=torch.arange(len(known)), files=(Path("a.png"),) * len(known), checksums=known)

    monkeypatch.setattr(classifier.data, "load", load)
    case = next(case for case in matrix.cases(matrix.load(), "ci") if case.kind == "classification")
    train, test = classifier.splits_of(replace(case, dedupe=True))
    assert train.checksums == ("a", "d") and train.labels.tolist() == [0, 4] and test.checksums == CHECKSUMS["test"]
    assert classifier.splits_of(case)[0].checksums == CHECKSUMS["train"]
