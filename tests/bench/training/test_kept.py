"""What a training run leaves and reads again: damaged checkpoints, figures that are not finite, another machine's seconds."""

import dataclasses

import pytest
import torch

from bench.kit import tensor_file
from bench.training import run as loop
from bench.training.run import NotFiniteError
from tests.bench.training.runs import case, features, finish, run, same, step


@pytest.mark.parametrize(
    "damage", [lambda data: data[: len(data) // 2], lambda data: b"", lambda data: data[:-9] + b"\x01" + data[-8:]]
)
def test_a_damaged_checkpoint_is_named_and_the_one_before_is_used(tmp_path, damage):
    whole = finish(run(tmp_path / "whole"))
    part = run(tmp_path / "part")
    for _ in range(3):
        step(part)
    newest = tmp_path / "part" / "epoch-0003.safetensors"
    newest.write_bytes(damage(newest.read_bytes()))
    again = run(tmp_path / "part")
    assert again.notes and str(newest) in again.notes[0]
    assert len(again._restored) == 2
    assert same(whole, finish(again))


def test_a_file_that_cannot_be_read_now_is_not_taken_for_damaged(tmp_path, monkeypatch):
    finish(run(tmp_path))
    files = sorted(tmp_path.glob("*.safetensors"))

    def refuse(*_, **__):
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(tensor_file, "safe_open", refuse)
    with pytest.raises(OSError, match="Too many open files"):
        run(tmp_path)
    assert sorted(tmp_path.glob("*.safetensors")) == files


@pytest.mark.parametrize("name", ["resnet", "densenet", "cbam"])
def test_the_optimisers_state_keeps_its_parameters_memory_format(tmp_path, name):
    """CUDA's fused AdamW requires equal strides of a parameter and its moments; files keep none."""
    chosen = case(f"scenes-clip-{name}-5ep", epochs=1)
    finish(run(tmp_path, chosen))
    resumed = run(tmp_path, dataclasses.replace(chosen, epochs=2))
    pairs = [(p, state[name]) for p, state in resumed.optimiser.state.items() for name in ("exp_avg", "exp_avg_sq")]
    assert any(p.ndim == 4 and not p.is_contiguous() for p, _ in pairs)
    assert all(p.stride() == moment.stride() for p, moment in pairs)


def test_another_configuration_does_not_continue_this_run(tmp_path):
    finish(run(tmp_path))
    other = run(tmp_path, case(learning_rate=5e-4))
    assert other.epochs_done == 0 and not other._restored


def test_a_loss_that_is_not_finite_stops_the_run_and_is_not_saved(tmp_path):
    data = features()
    data._sources["tokens"][::2] = float("nan")
    training = run(tmp_path, data=data)
    with pytest.raises(NotFiniteError, match="scenes-clip-attention: the loss is nan in epoch 1"):
        step(training)
    assert not list(tmp_path.glob("*.safetensors"))


def test_what_a_batch_norm_has_gathered_is_looked_at_too(tmp_path):
    training = run(tmp_path, case("shapes-dino-resnet-5ep"))
    norm = next(m for m in training.student.modules() if isinstance(m, torch.nn.BatchNorm2d))
    norm.running_var.fill_(float("inf"))  # it is not read in training, so the loss stays finite
    with pytest.raises(NotFiniteError, match="running_var is not finite after epoch 1"):
        step(training)
    assert not list(tmp_path.glob("*.safetensors"))


def test_seconds_of_two_machines_are_never_averaged(tmp_path, monkeypatch):
    """Only the epochs of the machine that ends the run count; of a run that it only reads, those of the last one."""

    def continued(on, until, clock):
        monkeypatch.setattr(loop, "machine", lambda device: on)
        monkeypatch.setattr(loop.time, "perf_counter", iter(clock).__next__)
        training = run(tmp_path, case(epochs=4))
        while training.epochs_done < until:
            step(training)
        return training.epoch_seconds()

    assert continued("laptop", 2, [0, 10, 10, 24]) == (12, "laptop")
    assert continued("server", 4, [0, 1, 1, 4]) == (2, "server")
    assert continued("third", 4, []) == (2, "server")
    assert continued("laptop", 4, []) == (12, "laptop")
