"""Training checkpoints, which are files of tensors with a checksum.

A checkpoint holds the student, the loss's parameters, the optimiser's state and the random state as tensors, and
the position and history as facts beside them.
"""

from collections import defaultdict
from pathlib import Path

import torch
from torch import Tensor, nn

from bench.kit import alarm, tensor_file


class CheckpointError(RuntimeError):
    """The checkpoint cannot be used; the message says which and why."""


def save(path: Path, student: nn.Module, criterion: nn.Module, optimiser: torch.optim.Optimizer, facts: dict) -> None:
    """Write a checkpoint atomically. ``facts`` is plain data: epoch, step, history, machines, and the ``run``'s fingerprint."""
    tensors = {f"student.{name}": value for name, value in student.state_dict().items()}
    tensors |= {f"criterion.{name}": value for name, value in criterion.state_dict().items()}
    for index, state in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{index}.{name}": torch.as_tensor(value) for name, value in state.items()}
    tensors["random.cpu"] = torch.random.get_rng_state()
    device = _device(student)
    if device.type == "cuda":
        tensors["random.cuda"] = torch.cuda.get_rng_state(device)
    tensors = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    tensor_file.save(path, tensors, facts)


def read(path: Path) -> tuple[dict[str, Tensor], dict]:
    """The tensors and the plain data of a checkpoint.

    Raises :class:`CheckpointError` where the file is damaged; ``OSError`` where it cannot be read now, which says nothing
    about what is in it.
    """
    try:
        with alarm.paused():
            return tensor_file.read(path)
    except OSError as error:
        raise OSError(f"{path} cannot be read now ({error}); it stays as it is, run again") from error
    except tensor_file.DamagedError as error:
        raise CheckpointError(f"{path} is damaged: {error}") from error


@torch.no_grad()
def restore(
    tensors: dict[str, Tensor], student: nn.Module, criterion: nn.Module, optimiser: torch.optim.Optimizer
) -> None:
    """Load a checkpoint's tensors into the modules and the optimiser and set the random state."""
    student.load_state_dict(_part(tensors, "student."))
    criterion.load_state_dict(_part(tensors, "criterion."))
    state: dict[int, dict[str, Tensor]] = defaultdict(dict)
    for name, value in _part(tensors, "optimiser.").items():
        index, key = name.split(".", 1)
        state[int(index)][key] = value
    optimiser.load_state_dict(optimiser.state_dict() | {"state": state})
    # Files keep no memory format, and CUDA's fused optimisers require that of the parameter.
    for parameter, state in optimiser.state.items():
        for name, value in state.items():
            if value.shape == parameter.shape:
                state[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
    torch.random.set_rng_state(tensors["random.cpu"])
    device = _device(student)
    if "random.cuda" in tensors and device.type == "cuda":
        torch.cuda.set_rng_state(tensors["random.cuda"], device)


def _device(student: nn.Module) -> torch.device:
    return next(student.parameters()).device


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
