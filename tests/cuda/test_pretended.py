"""The pretended device itself: it refuses and notes what CUDA would refuse, and wait for."""

import pytest
import torch

from tests.cuda.pretended import CUDA, pretended


def numbers():
    return torch.arange(12.0).view(3, 4).to(CUDA)


@pytest.mark.parametrize(
    ("mixed", "refusal"),
    [
        (lambda there: there + torch.ones(4), "same device"),
        (lambda there: torch.cat([there, torch.ones(3, 4)]), "same device"),
        (lambda there: torch.nn.Linear(4, 2)(there), "same device"),
        (lambda there: there.index_select(0, torch.tensor([1])), "same device"),
        (lambda there: torch.ones(3, 4)[there > 1], "same device"),
        (lambda there: torch.zeros(2, device="cuda:1"), "invalid device ordinal"),
        (lambda there: there.numpy(), "can't convert cuda:0"),
        (lambda there: there.pin_memory(), "cannot pin"),
    ],
)
def test_what_lies_apart_is_refused(mixed, refusal):
    with pretended(), pytest.raises((RuntimeError, TypeError), match=refusal):
        mixed(numbers())


@pytest.mark.parametrize(
    ("does", "why"),
    [
        (lambda there: there.sum().item(), "a value is read"),
        (lambda there: bool((there > 1).all()), "a value is read"),
        (lambda there: there.tolist(), "a copy of [3, 4] from cuda to cpu"),
        (lambda there: there.cpu(), "a copy of [3, 4] from cuda to cpu"),
        (lambda there: torch.ones(5).to(CUDA), "a copy of [5] from cpu to cuda"),
        (lambda there: torch.ones(5).to(CUDA, non_blocking=True), "a copy of [5] from cpu to cuda"),
        (lambda there: torch.ones(5).pin_memory().to(CUDA), "a copy of [5] from cpu to cuda"),
        (lambda there: there.new_tensor([1.0, 2.0]), "a copy of [2] from cpu to cuda"),
        (lambda there: there[torch.tensor([0, 2])], "index by numbers on the CPU"),
        (lambda there: there[there > 3], "index: the result's shape depends on values"),
        (lambda there: torch.equal(there, there), "a value is read"),
        (lambda there: torch.linalg.eigh(there @ there.T), "_linalg_eigh: its status is read"),
        (lambda there: there.nonzero(), "nonzero: the result's shape depends on values"),
    ],
)
def test_what_the_host_would_wait_for_is_noted(does, why):
    with pretended() as device:
        there = numbers()
        device.waits.clear()
        does(there)
    assert device.waits == [why]


def test_what_runs_on_is_not_noted():
    with pretended() as device:
        there = numbers()
        device.waits.clear()
        rows = torch.tensor([2, 0]).pin_memory().to(CUDA, non_blocking=True)
        kept = torch.empty(2, 4).pin_memory().copy_(there[rows] * 2 + torch.zeros(2, 4, device=CUDA), non_blocking=True)
    assert device.waits == [] and kept.tolist() == [[16, 18, 20, 22], [0, 2, 4, 6]]


def test_gradients_of_conversions_and_of_picked_rows_stay_there_and_clipping_them_waits_for_nothing():
    with pretended() as device:
        weight = torch.nn.Parameter(numbers())
        rows = torch.tensor([2, 0, 2]).pin_memory().to(CUDA, non_blocking=True)
        device.waits.clear()
        (weight.bfloat16().float()[rows] * 3).sum().backward()
        torch.nn.utils.clip_grad_norm_([weight], 6.0)
        assert weight.grad.device == CUDA and device.waits == []
        clipped = weight.grad.cpu()
    expected = torch.tensor([3.0, 0.0, 6.0])[:, None].expand(3, 4)  # its norm is the root of 4 * (3 * 3 + 6 * 6)
    assert torch.allclose(clipped, expected * 6 / 180**0.5)


def test_gradients_and_optimisers_work_as_on_the_cpu():
    def trained(device):
        torch.manual_seed(0)
        layer = torch.nn.Linear(4, 2).to(device)
        optimiser = torch.optim.AdamW(layer.parameters(), lr=0.1, fused=True)
        for _ in range(3):
            optimiser.zero_grad()
            layer(torch.ones(3, 4).to(device)).square().sum().backward()
            optimiser.step()
        return layer.weight.detach().cpu()

    here = trained(torch.device("cpu"))
    with pretended():
        there = trained(CUDA)
    assert torch.equal(here, there)
