"""Energy from a board's counter, with an NVML that is made up: a clock that only calls advance, and 300 watts."""

import sys
from types import SimpleNamespace

import pytest
import torch

from bench.measure import energy
from bench.measure.energy import energy_mj_per_image

CUDA = torch.device("cuda", 0)
WATTS = 300
UPDATE_MS = 100
CALL_MS = 10
# 300 W for 10 ms are 3,000 mJ.
PER_IMAGE = 3000 / 64


class Nvml:
    """Stands for ``pynvml``: boards by name, of which the counter is updated now and then."""

    class NVMLError(Exception):
        pass

    def __init__(self, boards):
        self.boards, self.now_ms, self.open = boards, 40, 0

    def nvmlInit(self):  # noqa: N802
        self.open += 1

    def nvmlShutdown(self):  # noqa: N802
        self.open -= 1

    def nvmlDeviceGetHandleByUUID(self, name):  # noqa: N802
        if name not in self.boards:
            raise self.NVMLError("not found")
        return name

    def nvmlDeviceGetTotalEnergyConsumption(self, handle):  # noqa: N802
        return self.boards[handle](self.now_ms)

    def call(self):
        self.now_ms += CALL_MS


def counting(now_ms, watts=WATTS):
    """Millijoules up to the last update; watts times milliseconds are millijoules."""
    return 10**9 + watts * (now_ms // UPDATE_MS) * UPDATE_MS


@pytest.fixture
def nvml(monkeypatch):
    """A machine with two boards, of which CUDA's number 0 is NVML's second."""
    fake = Nvml({"GPU-aaaa": lambda now: counting(now, watts=70), "GPU-bbbb": counting})
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    monkeypatch.setattr(energy, "time", SimpleNamespace(perf_counter=lambda: fake.now_ms / 1000))
    monkeypatch.setattr(energy, "synchronise", lambda device: None)
    visible = ["bbbb", "aaaa", "cccc"]
    monkeypatch.setattr(
        torch.cuda, "get_device_properties", lambda device: SimpleNamespace(uuid=visible[torch.device(device).index])
    )
    return fake


def measured(nvml, device=CUDA):
    return energy_mj_per_image(nvml.call, 64, CALL_MS / 1000, device)


def test_energy_of_an_image_by_hand(nvml):
    assert measured(nvml) == pytest.approx(PER_IMAGE)
    # From the update at 100 ms, the first that is seen, two seconds on.
    assert nvml.now_ms == 2100 and nvml.open == 0


def test_a_device_is_found_by_its_uuid_not_by_its_number(nvml):
    assert measured(nvml, torch.device("cuda", 1)) == pytest.approx(PER_IMAGE * 70 / WATTS)
    assert measured(nvml, torch.device("cuda", 0)) == pytest.approx(PER_IMAGE)


@pytest.mark.parametrize("function", ["nvmlInit", "nvmlDeviceGetHandleByUUID", "nvmlDeviceGetTotalEnergyConsumption"])
def test_a_machine_without_the_counter_has_no_figure(nvml, function, monkeypatch):
    def fail(*_):
        raise nvml.NVMLError(function)

    monkeypatch.setattr(nvml, function, fail)
    assert measured(nvml) is None and nvml.open == 0


def test_a_cpu_and_a_board_that_nvml_does_not_know_have_no_figure(nvml):
    assert measured(nvml, torch.device("cpu")) is None and nvml.now_ms == 40
    assert measured(nvml, torch.device("cuda", 2)) is None and nvml.open == 0


@pytest.mark.parametrize("counter", [
    lambda now: counting(now) - (10**9 if now > 1500 else 0),  # starts again
    lambda now: counting(min(now, 0)),  # stands still
    lambda now: counting(min(now, 1000)),
])  # fmt: skip
def test_a_counter_that_starts_again_or_stands_still_gives_no_figure(nvml, counter):
    nvml.boards["GPU-bbbb"] = counter
    assert measured(nvml) is None and nvml.now_ms < 3000 and nvml.open == 0


def test_an_error_of_the_call_is_not_hidden(nvml):
    def call():
        raise torch.OutOfMemoryError("full")

    with pytest.raises(torch.OutOfMemoryError):
        energy_mj_per_image(call, 64, 0.01, CUDA)
    assert nvml.open == 0
