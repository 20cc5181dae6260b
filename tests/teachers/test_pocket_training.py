"""The pre-training of pocket teachers, a few steps of it: on drawn and on real sizes."""

import sys
from contextlib import nullcontext
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from teachers.pocket import beit, dino, steps, train
from tests.breadth import some

SHORT = {
    "dino": lambda recipe: replace(recipe, steps=4, batch=4),
    "beit": lambda recipe: replace(recipe, masked_steps=2, label_steps=2, batch=4),
}


def pictures(side):
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (260, 3, side, side), dtype=torch.uint8, generator=generator)
    return pixels, torch.arange(260) % 5


EACH = [(objective, recipe) for objective in (dino, beit) for recipe in ("DRAWN", "REAL")]


@pytest.mark.parametrize(("objective", "recipe"), some(EACH, [(dino, "REAL"), (beit, "DRAWN")]))
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


def test_dino_on_real_images_sees_halved_ones_first():
    recipe, generator = dino.REAL, torch.Generator().manual_seed(0)
    images = pictures(64)[0][:3].float()
    for coarse, side in ((True, 32), (False, 64)):
        large, small = dino._views(images, coarse, recipe, generator)
        assert large.shape == (6, 3, side, side) and small.shape == (3 * dino.SMALL_VIEWS, 3, side // 2, side // 2)


def test_sinkhorn_knopp_spreads_a_batch_over_the_prototypes():
    outputs = 0.1 * torch.randn(64, 8, generator=torch.Generator().manual_seed(0)) + torch.arange(8) / 16
    targets = dino.SinkhornKnopp()(outputs)
    assert torch.allclose(targets.sum(dim=1), torch.ones(64))
    assert targets.sum(dim=0).min() > 4 and targets.sum(dim=0).max() < 12
    assert dino.MovingCentre()(outputs).sum(dim=0).max() > 20


def test_a_moving_centre_takes_away_what_all_outputs_share():
    centring = dino.MovingCentre()
    outputs = torch.tensor([[0.5, 0.0], [0.5, 0.0]])
    first, *_, last = [centring(outputs) for _ in range(100)]
    assert first[0, 0] > 0.99 and torch.allclose(last, torch.full((2, 2), 0.5), atol=1e-3)


def test_koleo_is_minus_the_logarithm_of_the_distance_to_the_nearest():
    features = torch.tensor([[2.0, 0.0], [0.0, 3.0], [-1.0, 0.0]])  # at right angles once of unit length
    assert torch.allclose(dino._koleo(features), torch.tensor(2.0).sqrt().log().neg(), atol=1e-4)


def test_jitter_turns_the_share_to_grey_and_keeps_the_range():
    pixels, generator = pictures(16)[0].float(), torch.Generator().manual_seed(0)
    views = steps.jitter(pixels, 0.1, 0.25, 0.4, generator)
    assert views.shape == pixels.shape and views.min() >= 0 and views.max() <= 255
    assert torch.allclose(steps.jitter(pixels, 0.0, 0.0, 0.0, torch.Generator()), pixels, atol=0.01)
    grey = (views - views.mean(dim=1, keepdim=True)).abs().amax(dim=(1, 2, 3)) < 0.01
    assert 0.15 < grey.float().mean() < 0.35


@pytest.mark.parametrize(
    ("has_bfloat16", "words", "precision"),
    [
        (True, [], "fp32"),
        (True, ["--dataset", "tiny-imagenet"], "bf16"),
        (False, ["--dataset", "tiny-imagenet"], "fp32"),
        (True, ["--dataset", "tiny-imagenet", "--precision", "fp32"], "fp32"),
        (False, ["--precision", "bf16"], "bf16"),
    ],
)
def test_a_cpu_that_has_bfloat16_trains_on_real_images_in_it_unless_another_precision_is_asked_for(
    monkeypatch, has_bfloat16, words, precision
):
    monkeypatch.setattr(train, "has_bfloat16", lambda: has_bfloat16)
    monkeypatch.setattr(sys, "argv", ["train", "beit", "--device", "cpu", *words])
    assert train._options()[1].precision == precision


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["clip", "--device", "cuda"], "clip trains on the CPU, in fp32"),
        (["blip", "--precision", "bf16"], "blip trains on the CPU, in fp32"),
        (["dino", "--device", "gpu"], "--device gpu"),
        (["dino", "--device", "cpu", "--precision", "tf32"], "tf32 is for CUDA"),
    ],
)
def test_a_device_that_cannot_be_is_a_usage_error(monkeypatch, capsys, words, error):
    monkeypatch.setattr(sys, "argv", ["train", *words])
    with pytest.raises(SystemExit) as ended:
        train._options()
    assert ended.value.code == 2 and error in capsys.readouterr().err


def test_an_interruption_while_weights_are_written_leaves_the_old_ones(tmp_path, monkeypatch):
    monkeypatch.setattr(train, "POCKET", tmp_path)
    monkeypatch.setattr(train, "_train", lambda *_: torch.nn.Linear(3, 2))
    monkeypatch.setattr(train, "card", lambda *_: "")
    monkeypatch.setattr(sys, "argv", ["train", "dino"])
    train.main()
    path = tmp_path / "dino.safetensors"
    assert load_file(path)["weight"].dtype == torch.float16
    before = path.read_bytes()

    def interrupted(_, temporary):
        temporary.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(train, "save_file", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train.main()
    assert path.read_bytes() == before
