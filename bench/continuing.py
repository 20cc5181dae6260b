"""Which checkpoints of a run may be continued from: none that are to be made anew, none of another reduction of features.

A checkpoint's fingerprint says nothing of the reduction (a PCA of the teacher's features): one that was fitted anew, on
another device or in another precision, may turn components round, and a student cannot read its features any more.
"""

import hashlib
import json
from pathlib import Path

from bench.files import write_text
from bench.teacher_pass import Distilled

FILE = "origin.json"


def clear(folder: Path, epochs: int, restart: str | None, distilled: Distilled) -> str:
    """Remove checkpoints from a run's ``folder`` that a case of ``epochs`` must not continue from.

    ``restart`` names a session that makes its cases anew, in however many processes: of what was there before it, what
    is beyond its longest case stays, and so does what it made itself. Returns what a person should know, or nothing.
    Whoever calls has the run for itself.
    """
    kept, reduction = _read(folder / FILE), _digest(distilled)
    found = {path: int(path.stem.partition("-")[2]) for path in folder.glob("epoch-*.safetensors")}
    refitted = bool(found) and kept.get("reduction") != reduction
    if refitted:
        kept = {}
    known = {"restarted_by": kept.get("restarted_by"), "up_to": kept.get("up_to", 0)}
    made = (
        known["up_to"] if restart == known["restarted_by"] else 0
    )  # in this session, or before where it makes nothing anew
    for path, epoch in found.items():
        if refitted or (restart and made < epoch <= epochs):
            path.unlink()
    if restart:
        known = {"restarted_by": restart, "up_to": max(made, epochs)}
    if kept != (now := {"reduction": reduction} | known):
        write_text(folder / FILE, json.dumps(now))
    if refitted and not restart:
        return "its checkpoints read another reduction of the teacher's features than there is now; it is trained anew"
    return ""


def _read(path: Path) -> dict:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _digest(distilled: Distilled) -> str | None:
    """Identity of the reductions, None where features keep their width."""
    pcas = [pca for pca in (distilled.image_pca, distilled.text_pca) if pca]
    tensors = [tensor.detach().cpu().numpy().tobytes() for pca in pcas for tensor in (pca.weight, pca.bias)]
    return hashlib.sha256(b"".join(tensors)).hexdigest() if tensors else None
