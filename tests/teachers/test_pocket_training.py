"""The pre-training of pocket teachers, a few steps of it: on drawn and on real sizes."""

import sys
from contextlib import nullcontext
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from teachers import _sums
from teachers.pocket import beit, dino, train

SHORT = {
    "dino": lambda recipe: replace(recipe, steps=2, batch=4, prototypes=8),
    "beit": lambda recipe: replace(recipe, masked_steps=2, label_steps=2, batch=4),
}


def pictures(side):
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (260, 3, side, side), dtype=torch.uint8, generator=generator)
    return pixels, torch.arange(260) % 5


@pytest.mark.parametrize("recipe", ["DRAWN", "REAL"])
@pytest.mark.parametrize("objective", [dino, beit], ids=["dino", "beit"])
def test_training_gives_the_pocket_architecture_and_the_same_weights_each_time(objective, recipe):
    name = objective.__name__.rpartition(".")[2]
    short = SHORT[name](getattr(objective, recipe))
    first, again = (
        objective.train(*pictures(short.side), 7, lambda *_, **__: None, short, nullcontext()).state_dict()
        for _ in range(2)
    )
    fresh = objective.build_pocket(short.side).state_dict()
    assert {key: value.shape for key, value in first.items()} == {key: value.shape for key, value in fresh.items()}
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert all(value.isfinite().all() for value in first.values())


def test_dino_reads_no_labels():
    short = SHORT["dino"](dino.DRAWN)
    pixels, labels = pictures(32)
    first, other = (
        dino.train(pixels, some, 7, lambda *_, **__: None, short, nullcontext()).state_dict()
        for some in (labels, labels.flip(0))
    )
    assert all(torch.equal(first[key], other[key]) for key in first)


def test_an_interruption_while_weights_are_written_leaves_the_old_ones(tmp_path, monkeypatch):
    monkeypatch.setattr(train, "POCKET", tmp_path)
    monkeypatch.setattr(train, "_train", lambda *_: torch.nn.Linear(3, 2))
    monkeypatch.setattr(train, "write_card", lambda *_: None)
    monkeypatch.setattr(sys, "argv", ["train", "dino"])
    train.main()
    path = tmp_path / "dino.safetensors"
    assert _sums.matches(path) is True and load_file(path)["weight"].dtype == torch.float16
    before = path.read_bytes()

    def interrupted(_, temporary):
        temporary.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(train, "save_file", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train.main()
    assert path.read_bytes() == before and _sums.matches(path) is True
