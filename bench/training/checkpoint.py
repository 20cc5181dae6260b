"""Training checkpoints, which are files of tensors with a checksum, and which of them a run may continue from.

A checkpoint holds the student, the loss's parameters, the optimiser's state and the random state as tensors, and
the position and history as facts beside them. Where weights are averaged, the student is the average.

A run continues from none that are to be made anew, and from none of another reduction of features, which a checkpoint's
fingerprint does not cover: a PCA that was fitted anew, on another device or in another precision, may turn components
round, and a student cannot read its features any more. A file beside a run's checkpoints keeps what is known of them. The
caller holds the run's lock.
"""

import re
from collections import defaultdict
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from bench.features.extract import TeacherFeatures
from bench.kit import tensor_file
from bench.kit.files import write_text
from bench.kit.lock import alarm_paused

ORIGIN = "origin.json"


class CheckpointError(RuntimeError):
    """The checkpoint cannot be used; the message says which and why."""


def save(path: Path, modules: dict[str, nn.Module], optimiser: torch.optim.Optimizer, facts: dict) -> None:
    """Write a checkpoint of ``modules``, which are the student and others, atomically, in place of a void one of the epoch.

    ``facts`` is plain data: epoch, step, history, machines, and the ``run``'s fingerprint.
    """
    tensors = {
        f"{part}.{name}": value for part, module in modules.items() for name, value in module.state_dict().items()
    }
    for index, state in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{index}.{name}": torch.as_tensor(value) for name, value in state.items()}
    tensors["random.cpu"] = torch.random.get_rng_state()
    device = next(modules["student"].parameters()).device
    if device.type == "cuda":
        tensors["random.cuda"] = torch.cuda.get_rng_state(device)
    tensors = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    tensor_file.save(path, tensors, facts)
    origin = _origin(path.parent)
    if facts["epoch"] in origin.void:
        origin.void.remove(facts["epoch"])
        _note(path.parent, origin)


def read(path: Path) -> tuple[dict[str, Tensor], dict]:
    """The tensors and the plain data of a checkpoint.

    Raises :class:`CheckpointError` where the file is damaged; ``OSError`` where it cannot be read now, which says nothing
    about what is in it.
    """
    try:
        with alarm_paused():
            return tensor_file.read(path)
    except OSError as error:
        raise OSError(f"{path} cannot be read now ({error}); it stays as it is, run again") from error
    except tensor_file.DamagedError as error:
        raise CheckpointError(f"{path} is damaged: {error}") from error


@torch.no_grad()
def restore(tensors: dict[str, Tensor], modules: dict[str, nn.Module], optimiser: torch.optim.Optimizer) -> None:
    """Load a checkpoint's tensors into the modules and the optimiser and set the random state."""
    for part, module in modules.items():
        module.load_state_dict(_part(tensors, f"{part}."))
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
    device = next(modules["student"].parameters()).device
    if "random.cuda" in tensors and device.type == "cuda":
        torch.cuda.set_rng_state(tensors["random.cuda"], device)


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


class Origin(BaseModel):
    """What is known of the checkpoints in a folder; the file that says it."""

    model_config = ConfigDict(extra="forbid")

    reduction: str | None = None  # that their students read; None: none, or not known
    restarted_by: str | None = None  # the last session that made the run anew,
    up_to: int = 0  # up to this epoch
    void: list[int] = []  # epochs that no run continues from


def epochs(folder: Path) -> dict[int, Path]:
    """The checkpoints in a run's folder by epoch."""
    matches = ((re.fullmatch(r"epoch-(\d+)\.safetensors", path.name), path) for path in sorted(folder.glob("epoch-*")))
    return {int(match[1]): path for match, path in matches if match}


def usable(folder: Path) -> dict[int, Path]:
    """The checkpoints that a run may continue from, by epoch."""
    void = _origin(folder).void
    return {epoch: path for epoch, path in epochs(folder).items() if epoch not in void}


def restart(folder: Path, length: int, session: str) -> None:
    """Void what a case of ``length`` epochs must not continue from, where ``session`` makes all of its cases anew.

    Its processes share the name. What it made itself stays usable, and of older checkpoints those beyond its longest case.
    Void ones stay until new ones take their place. To be called before anything that takes long: if that is interrupted, no
    later session continues from them either.
    """
    origin = _origin(folder)
    made = origin.up_to if origin.restarted_by == session else 0
    origin.void = sorted({*origin.void, *(epoch for epoch in epochs(folder) if made < epoch <= length)})
    origin.restarted_by, origin.up_to = session, max(made, length)
    _note(folder, origin)


def require_reduction(folder: Path, features: TeacherFeatures) -> str:
    """Remove checkpoints whose students do not read these features; returns a line for the log, or nothing."""
    origin, reduction, checkpoints = _origin(folder), _digest(features), epochs(folder)
    if origin.reduction == reduction:
        return ""
    known = "has" if origin.reduction else "may have"
    origin.void, origin.reduction = [*checkpoints], reduction
    _note(folder, origin)  # first: the removal may be interrupted
    for path in checkpoints.values():
        path.unlink()
    note = f"the teacher's PCA {known} changed since its checkpoints were written; training restarts"
    return note if checkpoints else ""


def _note(folder: Path, origin: Origin) -> None:
    write_text(folder / ORIGIN, origin.model_dump_json())


def _origin(folder: Path) -> Origin:
    """What the file says; nothing is known where it is missing or damaged. One that cannot be read now raises ``OSError``."""
    try:
        return Origin.model_validate_json((folder / ORIGIN).read_bytes())
    except (FileNotFoundError, ValueError):
        return Origin()


def _digest(features: TeacherFeatures) -> str | None:
    """Identity of the reductions, None where features keep their width."""
    pcas = {"image": features.image_pca, "text": features.text_pca}
    tensors = {
        f"{side}.{name}": tensor.cpu() for side, pca in pcas.items() if pca for name, tensor in pca.state_dict().items()
    }
    return tensor_file.digest(tensors) if tensors else None
