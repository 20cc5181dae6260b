"""Which checkpoints of a run may be continued from: none that are to be made anew, none of another reduction of features.

A checkpoint's fingerprint does not cover the reduction (a PCA of the teacher's features): one that was fitted anew, on
another device or in another precision, may turn components round, and a student cannot read its features any more. A
file beside a run's checkpoints keeps what is known of them. The caller holds the run's lock.
"""

import hashlib
import re
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from bench.features.extract import TeacherFeatures
from bench.kit.files import write_text

FILE = "origin.json"


class Origin(BaseModel):
    """What is known of the checkpoints in a folder; the file that says it."""

    model_config = ConfigDict(extra="forbid")

    reduction: str | None = None  # that their students read; None: none, or not known
    restarted_by: str | None = None  # the last session that made the run anew,
    up_to: int = 0  # up to this epoch
    void: list[int] = []  # epochs that are to be removed


def epochs(folder: Path) -> dict[int, Path]:
    """The checkpoints in a run's folder by epoch."""
    matches = ((re.fullmatch(r"epoch-(\d+)\.safetensors", path.name), path) for path in sorted(folder.glob("epoch-*")))
    return {int(match[1]): path for match, path in matches if match}


def restart(folder: Path, length: int, session: str | None) -> None:
    """Remove what a case of ``length`` epochs must not continue from, where ``session`` makes all of its cases anew.

    Its processes share the name. What it made itself stays, and of older checkpoints those beyond its longest case. To be
    called before anything that takes long: what an interruption left is removed by the next session.
    """
    origin = _read(folder)
    if session:
        made = origin.up_to if origin.restarted_by == session else 0
        origin.void += [epoch for epoch in epochs(folder) if made < epoch <= length]
        origin.restarted_by, origin.up_to = session, max(made, length)
    if session or origin.void:
        _remove(folder, origin)


def require_reduction(folder: Path, features: TeacherFeatures) -> str:
    """Remove checkpoints whose students do not read these features; returns a line for the log, or nothing."""
    origin, reduction, checkpoints = _read(folder), _digest(features), epochs(folder)
    if origin.reduction == reduction:
        return ""
    known = "read" if origin.reduction else "may read"
    origin.void, origin.reduction = [*checkpoints], reduction
    _remove(folder, origin)
    note = f"its checkpoints {known} another reduction of the teacher's features than there is now; it is trained anew"
    return note if checkpoints else ""


def _remove(folder: Path, origin: Origin) -> None:
    """Note what is known, and remove the void epochs; where that is interrupted, :func:`restart` goes on with it."""
    write_text(folder / FILE, origin.model_dump_json())
    for epoch, path in epochs(folder).items():
        if epoch in origin.void:
            path.unlink()
    if origin.void:
        write_text(folder / FILE, origin.model_copy(update={"void": []}).model_dump_json())


def _read(folder: Path) -> Origin:
    """What the file says; nothing is known where it is missing or damaged. One that cannot be read now raises ``OSError``."""
    try:
        return Origin.model_validate_json((folder / FILE).read_bytes())
    except (FileNotFoundError, ValueError):
        return Origin()


def _digest(features: TeacherFeatures) -> str | None:
    """Identity of the reductions, None where features keep their width."""
    pcas = [pca for pca in (features.image_pca, features.text_pca) if pca]
    tensors = [tensor.detach().cpu().numpy().tobytes() for pca in pcas for tensor in (pca.weight, pca.bias)]
    return hashlib.sha256(b"".join(tensors)).hexdigest() if tensors else None
