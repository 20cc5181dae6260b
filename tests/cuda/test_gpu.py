"""On a real CUDA device: what makes it fast, what keeps figures exact there, and that it measures what the CPU measures."""

import json
import os
import subprocess
import sys

import pytest
import torch

from bench.features.columns import Features
from bench.features.device import Device
from bench.kit.paths import ROOT
from teachers.pocket import beit, dino
from tests.bench.training import runs
from tests.teachers.test_pocket_training import SHORT, pictures

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device here")]
CUDA = torch.device("cuda", 0)
CNNS = ["scenes-blip-resnet-5ep", "shapes-dino-densenet-5ep"]


@pytest.fixture(autouse=True)
def flags(monkeypatch):
    """What a device sets for the whole process is put back after the test."""
    for module in (torch.backends.cuda.matmul, torch.backends.cudnn):
        monkeypatch.setattr(module, "allow_tf32", module.allow_tf32)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", torch.backends.cudnn.benchmark)


def run_on_cuda(folder, name=runs.NAMES[0], mixed=False):
    case = runs.case(name)
    made = runs.features(case.kind == "captions")
    lengths = {} if made.lengths is None else {"text_lengths": made.lengths}
    return runs.run(
        folder, case, data=Features(made.split, {**made._sources, **lengths}, made.scale, CUDA), mixed=mixed
    )


@pytest.mark.parametrize("name", runs.NAMES)
def test_an_epoch_trains_as_on_the_cpu_fused_and_waits_for_the_device_at_its_end_only(tmp_path, name, recwarn):
    Device("cuda", "fp32")
    here, there = runs.run(tmp_path / "cpu", runs.case(name)), run_on_cuda(tmp_path / "cuda", name)
    assert all(group["fused"] for run in (here, there) for group in run.optimiser.param_groups)
    torch.cuda.set_sync_debug_mode("warn")
    try:
        recwarn.clear()
        loss = there._train_epoch(1)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    # The loss of the epoch is read, and whether all weights are finite.
    assert sum("synchronizing" in str(warning.message) for warning in recwarn) <= 2
    assert loss == pytest.approx(here._train_epoch(1), rel=1e-3)


def test_a_run_resumes_to_the_same_weights(tmp_path):
    whole, part = runs.finish(run_on_cuda(tmp_path / "whole")), run_on_cuda(tmp_path / "part")
    runs.step(part)
    resumed = runs.finish(run_on_cuda(tmp_path / "part"))
    assert all(torch.allclose(whole[name], value, atol=1e-5) for name, value in resumed.items())


@pytest.mark.parametrize("name", CNNS)
def test_kernels_and_their_states_are_channels_last_also_after_a_restart(tmp_path, name):
    runs.step(run_on_cuda(tmp_path, name))
    run = run_on_cuda(tmp_path, name)
    runs.step(run)
    runs.step(run)
    kernels = [weight for weight in run.student.parameters() if weight.ndim == 4 and min(weight.shape[1:3]) > 1]
    states = [run.optimiser.state[weight][key] for weight in kernels for key in ("exp_avg", "exp_avg_sq")]
    assert run.epochs_done == 2 and len(kernels) > 8
    assert all(value.is_contiguous(memory_format=torch.channels_last) for value in [*kernels, *states])


@pytest.mark.parametrize(("precision", "fast"), [("auto", True), ("tf32", True), ("bf16", True), ("fp32", False)])
def test_float32_matrices_are_multiplied_in_tf32_unless_all_is_fp32(precision, fast):
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = not fast
    Device("cuda", precision)
    assert torch.backends.cuda.matmul.allow_tf32 == torch.backends.cudnn.allow_tf32 == fast
    assert torch.backends.cudnn.benchmark


@pytest.mark.parametrize("name", [runs.NAMES[0], *CNNS])
def test_bf16_is_for_forward_passes_and_weights_gradients_and_states_stay_in_float32(tmp_path, name):
    run, outputs = run_on_cuda(tmp_path, name, mixed=True), set()
    for module in run.student.modules():
        if isinstance(module, torch.nn.Linear | torch.nn.Conv2d):
            module.register_forward_hook(lambda _, inputs, output: outputs.add(output.dtype))
    runs.step(run)
    parameters = [*run.student.parameters(), *run.criterion.parameters()]
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    states = [value for state in run.optimiser.state.values() for value in state.values()]
    assert outputs == {torch.bfloat16} and states
    assert {value.dtype for value in [*parameters, *gradients, *states]} == {torch.float32}


def test_a_case_measures_on_cuda_what_it_measures_on_the_cpu(tmp_path):
    records = {}
    for device in ("cpu", "cuda"):
        words = [
            sys.executable,
            "-m",
            "pytest",
            "bench",
            "--profile",
            "ci",
            "-k",
            "scenes and cbam",
            "--device",
            device,
        ]
        words += ["--controls", "none", "--precision", "fp32", "-p", "no:cacheprovider"]
        words += ["--results", tmp_path / device, "--data", tmp_path / f"data-{device}"]
        env = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST")}
        ran = subprocess.run(words, cwd=ROOT, env=env, capture_output=True, text=True, timeout=500)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        (path,) = (tmp_path / device / "records").glob("*.json")
        records[device] = json.loads(path.read_text())
    here, there = records["cpu"], records["cuda"]
    for metric in ("image_to_text_r1", "text_to_image_r1", "zero_shot_top1"):  # in percent of 500 images
        assert there["metrics"][metric]["value"] == pytest.approx(here["metrics"][metric]["value"], abs=3), metric
        assert there["teacher"][metric]["value"] == pytest.approx(here["teacher"][metric]["value"], abs=1), metric
    losses = [[entry["loss"] for entry in record["curve"][1:]] for record in (here, there)]
    assert losses[1] == pytest.approx(losses[0], rel=1e-2)


@pytest.mark.parametrize("objective", [dino, beit])
def test_pocket_teachers_train_on_cuda_as_on_the_cpu(objective, monkeypatch):
    losses, descend = [], objective._descend
    monkeypatch.setattr(objective, "_descend", lambda loss, *rest: losses.append(loss.item()) or descend(loss, *rest))
    recipe = SHORT[objective.__name__.rpartition(".")[2]](objective.REAL)
    for name in ("cpu", "cuda"):
        device = Device(name, "fp32")
        pixels, labels = (values.to(device.torch) for values in pictures(recipe.side))
        model = objective.train(pixels, labels, 7, lambda *_, **__: None, recipe, device.student_autocast())
    assert {value.device for value in model.state_dict().values()} == {CUDA}
    assert losses[4:] == pytest.approx(losses[:4], rel=1e-3)
