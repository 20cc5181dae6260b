"""safetensors that carry the sha256 of all that is in them, so that nothing is executed and damage is noticed."""

import hashlib
import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from bench.kit.files import write_atomically


class DamagedError(RuntimeError):
    """A file is not what was written; the message says in which way."""


def save(path: Path, tensors: dict[str, Tensor], facts: dict) -> None:
    """Write tensors, which are on the CPU and contiguous, with ``facts``, which are plain data; atomically."""
    text = json.dumps(facts, sort_keys=True)
    header = {"facts": text, "digest": digest(tensors, text)}
    write_atomically(path, lambda temporary: save_file(tensors, temporary, header))


def read(path: Path) -> tuple[dict[str, Tensor], dict]:
    """The tensors and the facts of a file.

    Raises :class:`DamagedError`, and ``OSError`` where it cannot be read now, which says nothing about what is in it.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        facts = json.loads(header["facts"])
        intact = header["digest"] == digest(tensors, header["facts"])
    except (SafetensorError, KeyError, ValueError) as error:
        raise DamagedError(f"it cannot be read as safetensors with facts ({error})") from error
    if not intact:
        raise DamagedError("its content does not match its digest")
    return tensors, facts


def digest(tensors: dict[str, Tensor], text: str = "") -> str:
    """sha256 of a text, and of the names, types, shapes and contents of tensors."""
    found = hashlib.sha256(text.encode())
    for name, tensor in sorted(tensors.items()):
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        found.update(tensor.reshape(-1).view(torch.uint8).numpy())
    return found.hexdigest()
