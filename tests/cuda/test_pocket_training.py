"""Pocket teachers are trained on the pretended CUDA device as on the CPU, and no step waits for it."""

import sys

import pytest
import torch
from safetensors.torch import load_file

from bench.kit.device import Device
from teachers.pocket import beit, dino, train
from tests.cuda.pretended import CUDA, pretended
from tests.teachers.test_pocket_training import SHORT, pictures

OBJECTIVES = {"dino": dino, "beit": beit}


def short_of(name, recipe="DRAWN"):
    return SHORT[name](getattr(OBJECTIVES[name], recipe))


@pytest.fixture
def steps(monkeypatch):
    """The loss and the optimiser of each step that is made."""
    seen = []
    for objective in OBJECTIVES.values():

        def spied(loss, optimiser, model, descend=objective._descend):
            seen.append((loss.detach(), optimiser))
            descend(loss, optimiser, model)

        monkeypatch.setattr(objective, "_descend", spied)
    return seen


def trained(name, recipe, device):
    pixels, labels = (values.to(device.torch) for values in pictures(recipe.side))
    return OBJECTIVES[name].train(pixels, labels, 7, lambda *_, **__: None, recipe, device.student_autocast())


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("recipe", ["DRAWN", "REAL"])
@pytest.mark.parametrize("name", ["dino", "beit"])
def test_each_step_has_the_loss_that_it_has_on_the_cpu(steps, name, recipe, precision):
    trained(name, short_of(name, recipe), Device.of("cpu", precision))
    here = [loss.item() for loss, _ in steps]
    steps.clear()
    with pretended():
        model = trained(name, short_of(name, recipe), Device.of("auto", precision))
        there = [loss.item() for loss, _ in steps]
        assert {value.device for value in model.state_dict().values()} == {CUDA}
    assert len(there) == 4 and there == pytest.approx(here, rel=1e-4 if precision == "fp32" else 1e-2)
    assert all(group["fused"] for _, optimiser in steps for group in optimiser.param_groups)


@pytest.mark.parametrize("name", ["dino", "beit"])
def test_no_step_waits_for_the_device(name, monkeypatch):
    counts, objective = [], OBJECTIVES[name]
    descend = objective._descend
    with pretended() as device:
        monkeypatch.setattr(objective, "_descend", lambda *them: counts.append(len(device.waits)) or descend(*them))
        trained(name, short_of(name, "REAL"), Device.of("auto", "auto"))
    # Between the second and the third of them, beit goes over from patches to labels.
    assert len(counts) == 4 and counts[0] == counts[1] and counts[2] == counts[3]


def test_the_command_trains_on_cuda_where_there_is_one_and_stores_tensors_of_the_cpu(tmp_path, monkeypatch, steps):
    cards = []
    monkeypatch.setattr(train, "POCKET", tmp_path)
    monkeypatch.setattr(train, "POOL", 300)
    monkeypatch.setattr(dino, "DRAWN", short_of("dino"))
    monkeypatch.setattr(train, "write_card", lambda options, device, minutes: cards.append(train._trainer(device)))
    stored = []
    for device in ("cpu", "auto"):
        monkeypatch.setattr(sys, "argv", ["train", "dino", "--precision", "fp32", "--device", device])
        with pretended():
            train.main()
            assert steps[-1][0].device.type == ("cpu" if device == "cpu" else "cuda")
        stored.append(load_file(tmp_path / "dino.safetensors"))
    assert cards == [f"{torch.get_num_threads()} CPU threads", "pretended CUDA"]
    assert stored[0].keys() == stored[1].keys()
    assert all(torch.allclose(stored[0][key].float(), stored[1][key].float(), atol=2e-3) for key in stored[0])
