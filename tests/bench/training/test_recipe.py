"""Recipes: the rate's schedule and the average of the weights, both to the bit after a stop."""

import pytest
import torch

from bench.training import checkpoint
from tests.bench.training.runs import case, finish, finish_all, run, same, step

PIXELS = "scenes-blip-resnet-5ep"  # its batch norms have buffers


def rates(training, count):
    for number in range(count):
        training._set_rate(number)
        yield training.optimiser.param_groups[0]["lr"]


@pytest.mark.parametrize("warmup", [0, 3, 8])
def test_after_the_warm_up_the_rate_is_torchs_cosine_over_what_is_left(tmp_path, warmup):
    training = run(tmp_path, case(schedule="cosine", warmup_steps=warmup))  # 4 epochs of 2 steps
    weight = torch.nn.Parameter(torch.zeros(1))
    optimiser = torch.optim.SGD([weight], lr=1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=max(1, 8 - warmup))
    expected = [1e-3 * (number + 1) / warmup for number in range(warmup)]
    for _ in range(8 - warmup):
        expected.append(schedule.get_last_lr()[0])
        optimiser.step(), schedule.step()
    assert [*rates(training, 8)] == pytest.approx(expected)


def test_a_cosine_of_another_length_is_another_run():
    """And the constant rate of the paper has one run for all lengths."""
    short, long = (case(schedule="cosine", epochs=epochs) for epochs in (2, 4))
    assert short.run == short.id and short.run != long.run and short.run_fingerprint != long.run_fingerprint
    short, long = (case(epochs=epochs) for epochs in (2, 4))
    assert short.run == long.run != short.id and short.run_fingerprint == long.run_fingerprint


@pytest.mark.parametrize("changes", [{"schedule": "cosine"}, {"ema": 0.9}, {"schedule": "cosine", "ema": 0.9}])
def test_a_recipe_that_was_stopped_after_any_epoch_ends_with_the_same_weights_to_the_bit(tmp_path, changes):
    chosen = case(PIXELS, epochs=3, **changes)
    whole = run(tmp_path / "whole", chosen)
    weights, result = finish_all(whole), whole.result.state_dict()
    for stop in (1, 2):
        part = run(tmp_path / f"part-{stop}", chosen)
        for _ in range(stop):
            step(part)
        again = run(tmp_path / f"part-{stop}", chosen)
        assert same(weights, finish_all(again)) and same(result, again.result.state_dict())


def test_the_student_that_is_evaluated_is_the_moving_average_of_its_weights_and_statistics(tmp_path, monkeypatch):
    """Begun at the weights after the first step, and the student that learns does not notice."""
    chosen = case(PIXELS, epochs=2, ema=0.75)
    training, seen = run(tmp_path / "averaged", chosen), []
    update = training._average.update_parameters
    monkeypatch.setattr(
        training._average,
        "update_parameters",
        lambda student: (seen.append({name: v.clone() for name, v in student.state_dict().items()}), update(student)),
    )
    weights = finish(training)
    assert len(seen) == 4 and same(weights, finish(run(tmp_path / "plain", case(PIXELS, epochs=2))))
    result = training.result.state_dict()
    for name, value in weights.items():
        if value.is_floating_point():
            average = seen[0][name].double()
            for later in seen[1:]:
                average = 0.75 * average + 0.25 * later[name].double()
            torch.testing.assert_close(result[name].double(), average, rtol=1e-5, atol=1e-6)
    assert not same(result, weights)
    tensors, _ = checkpoint.read(training._path(2))
    assert same(result, {name: tensors[f"student.{name}"] for name in result})
