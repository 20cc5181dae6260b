"""Locates the weights of full-size teachers, reads them, and refuses what does not fill a model exactly.

Files come from a local path, from the hub's cache, or from the hub, in this order: what was fetched once is used again
without a connection. Every tensor of the checkpoint must have its place in the model and every tensor of the model its
values, all finite; no code in a pickled checkpoint is run. A checkpoint of another model with the very same tensors (MAE's
ViT-B/16 has DINO's) differs only in the ``config.json`` beside it, which :func:`check_facts` compares.
"""

import json
import re
from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from bench.kit.errors import UserError
from bench.kit.hub import fetched

FETCH_AGAIN = "Fetch it again, or save the model's state_dict as safetensors"
FILES = ("model.safetensors", "pytorch_model.bin")  # names of checkpoints on the hub, the preferred first
PUBLISHED = "Give the checkpoint of exactly this model, or leave out `path` to take the published one"


class WeightsError(RuntimeError):
    """The weights of a teacher cannot be had, or do not fit it."""


@dataclass(frozen=True)
class Source:
    """Where a full-size teacher's weights are sought, and what was asked for.

    ``weights`` are names of the checkpoint, the preferred first; ``beside`` are further files that the teacher needs.
    """

    teacher: str
    repository: str
    weights: tuple[str, ...]
    beside: tuple[str, ...] = ()
    path: Path | None = None
    revision: str | None = None


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint on this machine; ``commit`` is the hub's, None for a local path."""

    source: Source
    file: Path
    commit: str | None = None

    def provenance(self, library: str, name: str, part: str | None = None) -> dict:
        """``part`` is what was read of a file that holds several."""
        origin = "local path" if self.source.path else self.source.repository
        file = f"{self.file.name}: {part}" if part else self.file.name
        return provenance(library, name, origin, file, self.commit, self.source.revision)


def provenance(
    library: str,
    name: str,
    source: str,
    file: str | None = None,
    revision: str | None = None,
    requested_revision: str | None = None,
) -> dict:
    """Where weights come from, as plain data for a record. What is not known stays None.

    ``source`` is a repository of the hub, "local path", "shipped file", "random", or a package and its version;
    ``revision`` is the commit that the hub's cache names, ``requested_revision`` what the matrix asked for.
    """
    facts = {"library": library, "name": name, "source": source, "file": file}
    return facts | {"revision": revision, "requested_revision": requested_revision}


def locate(source: Source) -> Checkpoint:
    """The checkpoint of ``source`` and the files beside it, fetched where they are not here yet.

    Raises :class:`WeightsError` saying how to get them.
    """
    if source.path is not None:
        path = Path(source.path).expanduser()
        if path.is_dir():
            path = next((path / name for name in source.weights if (path / name).exists()), path / source.weights[0])
        for file in (path, *(path.parent / name for name in source.beside)):
            if not file.is_file():
                raise WeightsError(f"teacher {source.teacher}: path: {source.path}: there is no file {file}")
        return Checkpoint(source, path)
    file = _from_hub(source, source.weights, source.revision)
    # A snapshot's folder is named after its commit: the other files must be of the same one.
    commit = file.parent.name
    for name in source.beside:
        _from_hub(source, (name,), commit)
    return Checkpoint(source, file, commit)


def _from_hub(source: Source, names: Sequence[str], revision: str | None) -> Path:
    """The first of ``names`` that the hub's cache has, or else the hub."""
    pinned = ("--revision", source.revision) if source.revision else ()
    try:
        return fetched(source.repository, names, revision, " ".join((source.weights[0], *source.beside, *pinned)))
    except UserError as error:
        own = f"or give a local path in matrix.yaml: teachers: {{{source.teacher}: {{path: ...}}}}"
        raise WeightsError(f"teacher {source.teacher}: {error}, {own}") from error


def read_tensors(path: Path, remedy: str = FETCH_AGAIN) -> dict[str, Tensor]:
    """The tensors of a checkpoint by name.

    Raises :class:`WeightsError`, which ends with the ``remedy``, where the file is damaged or holds anything else.
    """
    return read_part(path, (), remedy)[1]


def read_part(path: Path, inside: Sequence[str], remedy: str = FETCH_AGAIN) -> tuple[str | None, dict[str, Tensor]]:
    """The first of ``inside`` that a training script's checkpoint has, and the tensors under it; None, and those of the file,
    where it has none of them. Raises :class:`WeightsError` as :func:`read_tensors` does."""
    from safetensors.torch import load_file

    is_pickle = path.suffix != ".safetensors"
    try:
        with torch.serialization.safe_globals([Namespace]):  # the options that training scripts keep: plain values
            content = torch.load(path, map_location="cpu", weights_only=True) if is_pickle else load_file(path)
    except MemoryError:
        raise
    except Exception as error:  # a pickle of anything else may raise anything
        # torch's own messages recommend to load the file nevertheless.
        reason = "not a pickle of tensors only" if is_pickle else f"{type(error).__name__}: {error}".splitlines()[0]
        raise WeightsError(f"{path} cannot be read as tensors ({reason}); no code in it was run. {remedy}") from error
    part = None
    if isinstance(content, Mapping):
        part = next((name for name in inside if isinstance(content.get(name), Mapping) and content[name]), None)
        content = content if part is None else content[part]
    is_mapping = isinstance(content, Mapping) and len(content) > 0  # given no tensors at all, timm would load the hub's
    if not is_mapping or not all(isinstance(tensor, Tensor) for tensor in content.values()):
        raise WeightsError(f"{path} must hold tensors by name, as a model's state_dict. {remedy}")
    return part, dict(content)


def fill(
    model: nn.Module,
    tensors: Mapping[str, Tensor],
    teacher: str,
    path: Path,
    ignored: str = "$^",
    hint: str = "",
    remedy: str = PUBLISHED,
) -> nn.Module:
    """Copy ``tensors`` into ``model``, all of them into all of it, except names that match the pattern ``ignored``.

    Raises :class:`WeightsError` naming what is missing, unexpected, of another shape or type, or not finite in the
    model's own type, with a ``hint`` at what may be the cause and a ``remedy``.
    """
    own = model.state_dict()
    given = {name: tensor for name, tensor in tensors.items() if not re.fullmatch(ignored, str(name))}
    shared = own.keys() & given.keys()
    faults = {
        "missing": own.keys() - given.keys(),
        "unexpected": given.keys() - own.keys(),
        "of another shape or type": [name for name in shared if _form(own[name]) != _form(given[name])],
        "not finite": [name for name in shared if not given[name].to(own[name].dtype).isfinite().all()],
    }
    lines = [f"{len(names)} {fault}: {_some(names)}" for fault, names in faults.items() if names]
    if lines:
        refusal = f"teacher {teacher}: {path} does not fill it exactly, so it is refused{hint}."
        raise WeightsError("\n  ".join([refusal, *lines]) + f"\n{remedy}")
    model.load_state_dict(given)
    return model


def _form(tensor: Tensor) -> tuple:
    # Half precision is taken; numbers of eight bits mean nothing without their scale.
    return tuple(tensor.shape), tensor.is_floating_point() and tensor.itemsize > 1


def _some(names) -> str:
    return ", ".join(sorted(map(str, names))[:10]) + (", ..." if len(names) > 10 else "")


def check_facts(teacher: str, file: Path, facts: Mapping[str, tuple[object, object]]) -> None:
    """Compare what a config beside the weights says with what the code does: ``{fact: (theirs, ours)}``.

    A fact that the config does not state (None) is passed over. Raises :class:`WeightsError` naming the difference.
    """
    for fact, (theirs, ours) in facts.items():
        if theirs is not None and not _same(theirs, ours):
            raise WeightsError(f"teacher {teacher}: {file} says {fact} {theirs}, but this teacher uses {ours}")


def _same(theirs: object, ours: object) -> bool:
    if isinstance(theirs, list):
        return len(theirs) == len(ours) and all(map(_same, theirs, ours))
    return abs(theirs - ours) < 1e-6 if isinstance(theirs, float) else theirs == ours


def beside(path: Path | str, name: str) -> Path:
    """Another file of a local checkpoint, which is a file or its folder."""
    path = Path(path).expanduser()
    return (path if path.is_dir() else path.parent) / name


def read_config(file: Path) -> dict:
    """A JSON file beside the weights; empty where there is none. Raises :class:`WeightsError` where it is damaged."""
    try:
        return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    except ValueError as error:
        raise WeightsError(f"{file} is not valid JSON: {error}") from None
