"""safetensors with the sha256 of their content: reading one executes nothing and notices damage."""

import hashlib
import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from bench.kit.files import write_atomically


class DamagedError(RuntimeError):
    """A file is not what was written; the message says how."""


def save(path: Path, tensors: dict[str, Tensor], facts: dict) -> None:
    """Write contiguous CPU tensors with ``facts``, which are plain data, atomically."""
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
    hasher = hashlib.sha256(text.encode())
    for name, tensor in sorted(tensors.items()):
        hasher.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        hasher.update(tensor.reshape(-1).view(torch.uint8).numpy())
    return hasher.hexdigest()
