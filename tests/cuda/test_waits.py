"""On CUDA the host must not wait for the device inside the loops: looked at on the pretended device."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext

import pytest
import torch

import teachers
from bench import data
from bench.features import columns
from bench.features.columns import Features
from bench.features.extract import Needs, Pass
from tests.bench.training import runs
from tests.cuda.pretended import CUDA, pretended


def on_cuda(made):
    lengths = {} if made.lengths is None else {"text_lengths": made.lengths}
    return Features(made.split, {**made._sources, **lengths}, made.scale, CUDA)


@pytest.mark.parametrize("fits", [True, False])
@pytest.mark.parametrize("name", runs.NAMES)
def test_an_epoch_waits_at_its_end_only_and_trains_the_same_student(tmp_path, monkeypatch, name, fits):
    case = runs.case(name, epochs=2)
    here = runs.run(tmp_path / "cpu", case)
    runs.finish(here)
    monkeypatch.setattr(columns, "free_bytes", lambda device: 2**40 if fits else 0)
    with pretended() as device:
        run = runs.run(tmp_path / "cuda", case, data=on_cuda(runs.features(case.kind == "captions")))
        assert run.resident == fits and next(run.student.parameters()).device == CUDA
        device.waits.clear()
        run._train_epoch(1)
        assert len(device.waits) == 2  # the loss of the epoch is read, and whether all weights are finite
        there = runs.run(tmp_path / "cuda", case, data=on_cuda(runs.features(case.kind == "captions")))
        runs.finish(there)
    losses = [[entry["loss"] for entry in one.history[1:]] for one in (here, there)]
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)


def test_a_run_on_cuda_resumes_to_the_same_weights(tmp_path):
    case = runs.case("scenes-clip-cbam-5ep")
    with pretended():
        make = lambda folder: runs.run(tmp_path / folder, case, data=on_cuda(runs.features()))  # noqa: E731
        whole, part = runs.finish(make("whole")), make("part")
        part.epoch()
        resumed = runs.finish(make("part"))
        assert all(torch.equal(whole[name].cpu(), value.cpu()) for name, value in resumed.items())


def test_the_random_state_of_cuda_is_kept_for_students_on_cuda_only(tmp_path, monkeypatch):
    case, asked, restored = runs.case("scenes-clip-cbam-5ep", epochs=1), [], []

    def state(device):
        asked.append(device)
        return torch.full((16,), len(asked), dtype=torch.uint8)

    with pretended():
        monkeypatch.setattr(torch.cuda, "get_rng_state", state)
        monkeypatch.setattr(
            torch.cuda, "set_rng_state", lambda value, device: restored.append((value.tolist(), device))
        )
        runs.run(tmp_path / "cpu", case).epoch()
        assert asked == restored == []
        runs.run(tmp_path / "cuda", case, data=on_cuda(runs.features())).epoch()
        kept = [len(asked)] * 16
        restored.clear()
        runs.run(tmp_path / "cuda", case, data=on_cuda(runs.features()))
    assert restored == [(kept, CUDA)] and set(asked) == {CUDA}


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("name", ["dino", "beit", "clip", "blip"])
def test_a_teacher_is_asked_without_a_wait(name, precision):
    teacher = teachers.load(name, "pocket")
    split = data.load("shapes" if teacher.tokenizer is None else "scenes", "train", 24)
    with pretended() as device, ThreadPoolExecutor() as threads:
        work = Pass(name, teacher.to(CUDA), CUDA, precision, Needs(True, True), print, lambda title: nullcontext())
        device.waits.clear()
        said = work.images(work.view(split, list(range(24)), threads), None)
        assert said["tokens"].device == CUDA and device.waits == []
        if split.captions:
            assert work.texts(list(split.captions), None)["text_tokens"].device == CUDA
    assert device.waits == []
