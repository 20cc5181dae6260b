"""``--device`` and ``--precision``: which there are, and what they do."""

import pytest
import torch

from bench.features import device
from bench.features.device import Device, find, for_worker, images_at_once
from bench.kit.errors import UserError


@pytest.mark.parametrize(
    ("name", "precision", "says"),
    [
        ("gpu", "auto", "--device gpu: expected auto, cpu"), ("meta", "auto", "expected auto, cpu"), ("cpu", "tf32", "tf32 is for CUDA"),
        ("cuda:2", "auto", "2 CUDA devices are visible"),
    ],
)  # fmt: skip
def test_a_device_that_is_not_there_is_refused(name, precision, says, two_gpus):
    with pytest.raises(UserError, match=says):
        find(name, precision)


@pytest.mark.parametrize(("side", "count"), [(32, 128), (224, 8), (384, 2), (1024, 1)])
def test_a_cpu_passes_as_many_images_at_once_as_its_caches_hold(side, count):
    assert images_at_once(torch.device("cpu"), side, 128) == count
    assert images_at_once(torch.device("cuda"), side, 128) == 128


@pytest.fixture
def two_gpus(monkeypatch):
    """Two CUDA devices that can be counted and not used."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: pytest.fail("a device was set"))


def test_looking_for_a_device_sets_none(two_gpus):
    """pytest looks before it starts workers, whose controller would else hold memory of the first GPU."""
    assert find("cuda:1", "auto") == (torch.device("cuda", 1), "bf16", "tf32")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_cuda_where_there_is_none_is_a_usage_error(run_bench, tmp_path):
    ran = run_bench(tmp_path, "--device", "cuda")
    assert ran.status == pytest.ExitCode.USAGE_ERROR and "0 CUDA devices are visible" in ran.output
    assert not (tmp_path / "records").exists()


@pytest.mark.parametrize(
    ("name", "worker", "count", "expected"),
    [
        ("auto", 0, 4, "cuda:0"), ("auto", 3, 4, "cuda:3"), ("auto", 5, 4, "cuda:1"),
        ("cuda", 1, 2, "cuda:1"), ("auto", 7, 1, "cuda:0"), ("auto", 12, 8, "cuda:4"),
        ("auto", None, 4, "auto"), ("auto", 1, 0, "auto"), ("cuda", 1, 0, "cuda"),
        ("cpu", 1, 4, "cpu"), ("cuda:2", 1, 4, "cuda:2"),
    ],
)  # fmt: skip
def test_workers_take_the_visible_gpus_in_turn_unless_a_device_is_named(name, worker, count, expected):
    assert for_worker(name, worker, count) == expected


@pytest.mark.parametrize(("asked", "used"), [("auto", "fp32"), ("bf16", "bf16")])
def test_the_precision_of_a_cpu(asked, used):
    device = Device("cpu", asked)
    assert (device.torch.type, device.mixed) == ("cpu", used == "bf16")
    assert device.described()["precision"] == {"teacher": used, "training": used}


@pytest.mark.parametrize(("precision", "share", "says"), [
    ("auto", 0.5, "bf16 takes 0.50 of the time of fp32 here"), ("auto", 0.9, ""), ("auto", 1.5, ""),
    ("bf16", 1.55, "bf16 takes 1.55 times as long as fp32 here"), ("bf16", 0.5, ""), ("fp32", 0.5, ""),
])  # fmt: skip
def test_what_is_said_of_bfloat16_is_measured(monkeypatch, precision, share, says):
    monkeypatch.setattr(device, "bfloat16_share", lambda: share)
    note = device.advice("cpu", precision)
    assert note.startswith(says) and bool(note) is bool(says)


def test_measuring_leaves_the_random_state_alone():
    state = torch.random.get_rng_state()
    assert 0 < device.bfloat16_share(0.01) < 1000 and torch.equal(torch.random.get_rng_state(), state)
