"""Finds the weights of full-size teachers, reads them, and refuses what does not fill a model exactly.

Files come from a local path, from the hub's cache, or from the hub, in this order: what was fetched once is what
is used, and no connection is needed for it. Every tensor of the checkpoint must have its place in the model and
every tensor of the model its values, all finite; pickled checkpoints are read without running code in them.
A checkpoint of another model with the very same tensors (MAE's ViT-B/16 has DINO's) can only be told by the
``config.json`` beside it, which :func:`check_facts` compares.
"""

import json
import pickle
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from teachers import _sums

PROBE_SECONDS = 10


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
class Found:
    """A checkpoint on this machine, and for one of the hub the commit that it belongs to."""

    file: Path
    commit: str | None

    def provenance(self, library: str, name: str, source: Source) -> dict:
        origin = "local path" if source.path else source.repository
        return provenance(library, name, origin, self.file.name, self.commit, source.revision)


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


def find(source: Source) -> Found:
    """The checkpoint of ``source``, with the files that it needs beside it, fetched where they are not here yet.

    Raises :class:`WeightsError` saying how to get them.
    """
    if source.path is not None:
        return Found(_local(source), None)
    first = _from_hub(source, source.weights, source.revision)
    # A snapshot's folder is named after its commit: the other files must be of the same one.
    commit = first.parent.name
    for name in source.beside:
        _from_hub(source, (name,), commit)
    return Found(first, commit)


def _local(source: Source) -> Path:
    path = Path(source.path).expanduser()
    if path.is_dir():
        path = next((path / name for name in source.weights if (path / name).exists()), path / source.weights[0])
    for file in (path, *(path.parent / name for name in source.beside)):
        if not file.is_file():
            raise WeightsError(f"teacher {source.teacher}: path: {source.path}: there is no file {file}")
    return path


def _from_hub(source: Source, names: Sequence[str], revision: str | None) -> Path:
    """The first of ``names`` that the hub's cache or the hub has."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    for name in names:
        try:
            return Path(hf_hub_download(source.repository, name, revision=revision, local_files_only=True))
        except LocalEntryNotFoundError:
            continue
    name = _on_hub(source, names, revision)
    try:
        return Path(hf_hub_download(source.repository, name, revision=revision))
    except Exception as error:  # whatever broke the transfer, the remedy is the same
        raise WeightsError(_how_to_fetch(source, error)) from error


def _on_hub(source: Source, names: Sequence[str], revision: str | None) -> str:
    """The first of ``names`` that the hub has. Asks once: without a connection a download retries for half a minute."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import EntryNotFoundError

    error: Exception | None = None
    for name in names:
        url = hf_hub_url(source.repository, name, revision=revision)
        try:
            get_hf_file_metadata(url, timeout=PROBE_SECONDS)
            return name
        except EntryNotFoundError as absent:
            error = absent
        except Exception as broken:  # no connection, offline mode, no such repository or revision
            raise WeightsError(_how_to_fetch(source, broken)) from broken
    raise WeightsError(_how_to_fetch(source, error)) from error


def _how_to_fetch(source: Source, error: Exception | None) -> str:
    from huggingface_hub import constants

    files = " ".join((source.weights[0], *source.beside))
    pinned = f" --revision {source.revision}" if source.revision else ""
    reason = f"{type(error).__name__}: {error}".splitlines()[0]
    return (
        f"teacher {source.teacher}: the weights of {source.repository} are not in the hub's cache "
        f"({constants.HF_HUB_CACHE}) and could not be fetched ({reason}). On a machine with a connection run\n"
        f"    hf download {source.repository} {files}{pinned}\n"
        f"and copy the cache, or give a local path in matrix.yaml: teachers: {{{source.teacher}: {{path: ...}}}}"
    )


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint by name.

    Raises :class:`WeightsError` where it is damaged, holds anything else, or is not what a SHA256SUMS beside it says.
    """
    from safetensors.torch import load_file

    if path.exists() and _sums.matches(path) is False:
        raise WeightsError(
            f"{path} is damaged: its sha256 is not the one in {_sums.NAME} beside it. Get the file again (one of a "
            f"clone: git checkout -- {path.name}, in its folder); if it was changed on purpose, renew the list"
        )
    try:
        content = load_file(path) if path.suffix == ".safetensors" else _unpickle(path)
    except MemoryError:
        raise
    except Exception as error:  # a pickle of anything else may raise anything
        raise _unreadable(path, error) from error
    if not isinstance(content, Mapping) or not all(_is_named_tensor(name, value) for name, value in content.items()):
        kinds = sorted({type(value).__name__ for value in content.values()}) if isinstance(content, Mapping) else ""
        raise WeightsError(f"{path} must hold dense tensors by name, and holds {type(content).__name__} of {kinds}")
    return dict(content)


def _is_named_tensor(name: object, value: object) -> bool:
    """Whether it is a plain tensor with its values: neither quantised nor sparse, nor one without data."""
    plain = isinstance(value, Tensor) and value.layout == torch.strided and not (value.is_quantized or value.is_meta)
    return plain and isinstance(name, str)


def _unpickle(path: Path) -> object:
    return torch.load(path, map_location="cpu", weights_only=True)


def _unreadable(path: Path, error: Exception) -> WeightsError:
    """The error to raise for a checkpoint that is damaged or a pickle of more than tensors."""
    # torch's own messages on pickles and TorchScript archives recommend to load the file nevertheless.
    pickled = isinstance(error, pickle.UnpicklingError) or "weights_only" in str(error)
    reason = "a pickle of more than tensors" if pickled else f"{type(error).__name__}: {error}".splitlines()[0]
    return WeightsError(
        f"{path} cannot be read as tensors ({reason}); no code in it was run. "
        "Fetch it again, or save the model's state_dict as safetensors"
    )


def fill(
    model: nn.Module, tensors: Mapping[str, Tensor], teacher: str, path: Path, ignored: str = "$^", hint: str = ""
) -> nn.Module:
    """Copy ``tensors`` into ``model``, all of them into all of it, except names that match the pattern ``ignored``.

    Raises :class:`WeightsError` naming what is missing, unexpected, of another shape or type, or not finite in the
    model's own type, with a ``hint`` at what may be the cause.
    """
    own = model.state_dict()
    given = {name: tensor for name, tensor in tensors.items() if not re.fullmatch(ignored, name)}
    shared = own.keys() & given.keys()
    misfits = [name for name in shared if _form(own[name]) != _form(given[name])]
    broken = [name for name in shared if not torch.isfinite(given[name].to(own[name].dtype)).all()]
    _refuse(teacher, path, own.keys() - given.keys(), given.keys() - own.keys(), misfits, broken, hint)
    model.load_state_dict(given)
    return model


def _form(tensor: Tensor) -> tuple:
    # Half precision is taken; numbers of eight bits mean nothing without their scale.
    return tuple(tensor.shape), tensor.is_floating_point() and tensor.itemsize > 1


def _refuse(teacher: str, path: Path, missing, unexpected, misfits, broken, hint: str) -> None:
    """Raise :class:`WeightsError` unless all four collections of tensor names are empty."""
    faults = {"missing": missing, "unexpected": unexpected, "of another shape or type": misfits, "not finite": broken}
    told = [f"{len(names)} {fault}: {_some(names)}" for fault, names in faults.items() if names]
    if told:
        raise WeightsError(
            f"teacher {teacher}: {path} does not fill it exactly, so it is refused{hint}.\n  "
            + "\n  ".join(told)
            + "\nGive the checkpoint of exactly this model, or leave out `path` to take the published one"
        )


def _some(names) -> str:
    return ", ".join(sorted(names)[:10]) + (", ..." if len(names) > 10 else "")


def check_facts(teacher: str, file: Path, facts: Mapping[str, tuple[object, object]]) -> None:
    """Compare what a config beside the weights says with what the code does: ``{fact: (theirs, ours)}``.

    A fact that the config does not state (None) is passed over. Raises :class:`WeightsError` naming the difference.
    """
    for fact, (theirs, ours) in facts.items():
        if theirs is not None and not _same(theirs, ours):
            raise WeightsError(f"teacher {teacher}: {file} says {fact} {theirs}, but this teacher uses {ours}")


def _same(theirs: object, ours: object) -> bool:
    if isinstance(theirs, Sequence) and not isinstance(theirs, str):
        return len(theirs) == len(ours) and all(_same(one, other) for one, other in zip(theirs, ours, strict=True))
    return abs(theirs - ours) < 1e-6 if isinstance(theirs, float) else theirs == ours


def read_config(file: Path) -> dict:
    """A JSON file beside the weights; empty where there is none. Raises :class:`WeightsError` where it is no object."""
    if not file.exists():
        return {}
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise WeightsError(f"{file} is not valid JSON: {error}") from None
    if not isinstance(content, dict):
        raise WeightsError(f"{file} must hold an object, and holds {type(content).__name__}")
    return content
