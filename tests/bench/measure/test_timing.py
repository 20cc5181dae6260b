"""Throughput's arithmetic on a clock that only calls advance; memory against counts by hand; energy from an NVML that is made up."""

import sys
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.backends import mkldnn, nnpack

from bench.measure import timing
from bench.measure.timing import energy_mj_per_image, images_per_second, inference_memory_mb, latency_ms

CPU = torch.device("cpu")
MB = 2**20


@pytest.fixture
def clock(monkeypatch):
    """A clock, of which ``clock.now`` is advanced by hand."""
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(timing, "time", SimpleNamespace(perf_counter=lambda: clock.now))
    return clock


def taking(clock, *seconds):
    """A call that takes these seconds, in turn, and then always the last; and a list of what it took so far."""
    took = []

    def call():
        took.append(seconds[min(len(took), len(seconds) - 1)])
        clock.now += took[-1]

    return call, took


def test_throughput_is_of_one_run_and_not_of_the_median_call(clock):
    """Nine calls, for which 0.25 s suffice at 30 ms each; a slow one among them counts in full."""
    call, took = taking(clock, 0.030, 0.110, 0.030)
    assert images_per_second(call, 64, 0.030, CPU) == pytest.approx(9 * 64 / (8 * 0.030 + 0.110))
    assert len(took) == 9


@pytest.mark.parametrize(("seconds", "calls"), [(2.0, 3), (16.0, 1)])
def test_a_run_holds_one_batch_and_one_that_takes_very_long_is_not_run_again(clock, seconds, calls):
    call, took = taking(clock, seconds)
    assert latency_ms(call, CPU, repeats=5) / 1000 == pytest.approx(seconds)
    assert images_per_second(call, 64, seconds, CPU) == pytest.approx(64 / seconds)
    assert len(took) == calls


def test_the_device_is_waited_for_at_the_two_ends_only(clock, monkeypatch):
    log = []
    monkeypatch.setattr(timing, "synchronise", lambda device: log.append("wait"))
    call, _ = taking(clock, 0.1)
    images_per_second(lambda: (call(), log.append("call")), 64, 0.1, CPU)
    assert log == ["wait", "call", "call", "call", "wait"]


@torch.no_grad()
def test_memory_of_a_linear_chain_by_hand():
    """Linear(1000, 2000), ReLU, Linear(2000, 500) on 64 rows: the peak is while ReLU's input and output are both held."""
    chain = nn.Sequential(nn.Linear(1000, 2000), nn.ReLU(), nn.Linear(2000, 500))
    rows = torch.zeros(64, 1000)
    weights = 1000 * 2000 + 2000 + 2000 * 500 + 500
    by_hand = 4 * (weights + 64 * (1000 + 2000 + 2000))
    assert inference_memory_mb(lambda: chain(rows.clone()), [chain], CPU) == by_hand / MB
    # An input that is there already is not the call's.
    assert inference_memory_mb(lambda: chain(rows), [chain], CPU) == (by_hand - 4 * 64 * 1000) / MB


@pytest.mark.filterwarnings("ignore:TF32 acceleration")  # of asking for the kernel
@torch.no_grad()
def test_memory_of_a_convolution_by_hand_workspace_included():
    """Two 3x3 convolutions, the second of stride 2, by PyTorch's own kernel, which unfolds its input.

    At the peak it holds the images, the second one's input (the first one's output after ReLU), that unfolded (16
    channels of 9 places) and the output.
    """
    chain = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 8, 3, stride=2, padding=1))
    images = torch.zeros(64, 3, 32, 32)
    weights = 3 * 16 * 9 + 16 + 16 * 8 * 9 + 8
    held = 64 * (3 * 32 * 32 + 16 * 32 * 32 + 16 * 9 * 16 * 16 + 8 * 16 * 16)
    with mkldnn.flags(enabled=False), nnpack.flags(enabled=False):
        memory = inference_memory_mb(lambda: chain(images.clone()), [chain], CPU)
    assert memory == 4 * (weights + held) / MB


@torch.no_grad()
def test_weights_count_once_and_buffers_count():
    first, norm = nn.Linear(10, 10, bias=False), nn.BatchNorm1d(10)
    twice = nn.Linear(10, 10, bias=False)
    twice.weight = first.weight
    # 100 weights; of the norm two times two vectors of 10 and an integer of 8 bytes.
    by_hand = 4 * (100 + 4 * 10) + 8
    output = 4 * 10
    row = torch.zeros(1, 10)
    assert inference_memory_mb(lambda: first(row), [first, twice, norm], CPU) == (by_hand + output) / MB


def test_training_state_and_older_memory_do_not_count():
    layer = nn.Linear(1000, 10, bias=False)
    optimiser = torch.optim.Adam(layer.parameters())
    rows, older = torch.ones(4, 1000), [torch.zeros(10**6)]
    layer(rows).sum().backward()
    optimiser.step()

    def call():
        older.clear()  # freed during the call: must not make room for what the call takes
        with torch.no_grad():
            layer(rows)

    assert inference_memory_mb(call, [layer], CPU) == 4 * (1000 * 10 + 4 * 10) / MB


def test_a_call_without_allocations_has_no_figure():
    assert inference_memory_mb(lambda: None, [nn.Linear(3, 3)], CPU) is None


def test_only_the_devices_own_memory_counts(monkeypatch):
    """On CUDA the profiler reports host memory too."""
    changes = [(3, -100), (1, 100), (4, 70), (2, 200), (5, -200)]
    events = [
        SimpleNamespace(
            name=lambda: "[memory]", device_type=lambda kind=kind: SimpleNamespace(name=kind),
            start_ns=lambda at=at: at, nbytes=lambda size=size: size,
        )
        for kind, at, size in [("CPU", 2, 10**6), *(("CUDA", *change) for change in changes)]
    ]  # fmt: skip
    calls = []

    class Profile:
        kineto_results = SimpleNamespace(events=lambda: events)

        def __init__(self, profile_memory):
            assert profile_memory

        def __enter__(self):
            calls.append("profiler")
            return self

        def __exit__(self, *_):
            pass

    monkeypatch.setattr("torch.autograd.profiler.profile", Profile)
    # In order of time: 100, 300, 200, 270, 70.
    assert inference_memory_mb(lambda: calls.append("call"), [], torch.device("cuda", 0)) == 300 / MB
    assert calls == ["call", "profiler", "call"], "the first call, in which cuDNN tries its algorithms, must not count"


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
    monkeypatch.setattr(timing, "time", SimpleNamespace(perf_counter=lambda: fake.now_ms / 1000))
    monkeypatch.setattr(timing, "synchronise", lambda device: None)
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
