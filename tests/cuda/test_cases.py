"""Whole cases on the pretended CUDA device: what they measure is what the CPU measures."""

import dataclasses

import pytest
import torch

from bench.kit import paths
from bench.kit.progress import Progress
from bench.measure import probe
from bench.plan import matrix
from bench.results import record
from bench.run.session import Session
from tests.cuda.pretended import pretended

CASES = ("shapes-dino-attention-5ep", "shapes-beit-resnet-5ep", "scenes-clip-cbam-5ep", "scenes-blip-projection-5ep")
SMALL = {
    "train_samples": 96,
    "test_samples": 32,
    "batch_size": 16,
    "epochs": 2,
    "controls": ("untrained", "teacher", "raw-pixels"),
}
BASE = {case.id: case for case in matrix.cases(matrix.load(), "pocket")}
# Clocks and memory are not pretended; fvcore does not see convolutions through the pretence.
OF_THE_MACHINE = ("seconds", "latency", "per_second", "memory", "energy", "macs")


def measured(name, folder, device, precision):
    case = dataclasses.replace(BASE[name], **SMALL, precision=precision)
    session = Session(folder, (case,), {name}, Progress(None), device)
    with session.turn(case), session.recording(case) as entry:
        run = session.training(case)
        while not run.finished:
            run.epoch()
        session.measure(case, run, entry)
    return record.read(record.path_of(folder, case.id))


@pytest.fixture
def apart(monkeypatch, tmp_path):
    """Each device makes features of its own; the probe, whose steps are slow in pretence, solves one problem instead of eight."""
    monkeypatch.setattr(probe, "REGULARISATIONS", probe.REGULARISATIONS[:1])

    def of(device):
        monkeypatch.setenv(paths.VARIABLE, str(tmp_path / device))
        return tmp_path / device

    return of


@pytest.mark.parametrize("name", CASES)
def test_a_case_measures_the_same_on_both_devices(name, apart):
    here = measured(name, apart("cpu"), "cpu", "fp32")
    with pretended():
        there = measured(name, apart("cuda"), "auto", "fp32")
    assert there.status == "done" and there.environment["hardware"]["device"] == "pretended CUDA"
    assert there.metrics.keys() == here.metrics.keys() and there.controls.keys() == here.controls.keys()
    for metric in filter(comparable, here.metrics):
        assert there.metrics[metric] == pytest.approx(here.metrics[metric], rel=1e-3), metric
    for control, values in here.controls.items():
        assert there.controls[control] == pytest.approx(values, rel=1e-3), control
    losses = [[entry["loss"] for entry in found.curve[1:]] for found in (here, there)]
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)


@pytest.mark.parametrize("name", CASES[1:3])
def test_the_usual_precision_of_cuda_is_bf16_for_the_teacher_and_tf32_for_training(name, apart):
    with pretended():
        found = measured(name, apart("cuda"), "auto", "auto")
    assert found.environment["hardware"]["precision"] == {"teacher": "bf16", "training": "tf32"}
    assert found.status == "done" and found.environment["hardware"]["cuda"] == torch.version.cuda


def comparable(metric):
    return not any(part in metric for part in OF_THE_MACHINE)
