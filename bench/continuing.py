"""Which checkpoints of a run may be continued from: none that are to be made anew, none of another reduction of features.

A checkpoint's fingerprint says nothing of the reduction (a PCA of the teacher's features): one that was fitted anew, on
another device or in another precision, may turn components round, and a student cannot read its features any more.
"""

import hashlib
import json
import shutil
from pathlib import Path

from bench.files import write_text
from bench.teacher_pass import Distilled

FILE = "origin.json"


def clear(folder: Path, restart: str | None, distilled: Distilled) -> str:
    """Remove a run's checkpoints from ``folder`` if they must not be continued from, and note whose the next ones are.

    ``restart`` names a session that makes all of its runs anew, in however many processes; what it made itself stays.
    Returns what a person should know, or nothing. Whoever calls has the run for itself.
    """
    kept, reduction = _read(folder / FILE), _digest(distilled)
    refitted = kept.get("reduction") != reduction and any(folder.glob("epoch-*.safetensors"))
    if refitted or (restart and kept.get("restarted_by") != restart):
        shutil.rmtree(folder, ignore_errors=True)
        kept = {}
    now = {"reduction": reduction, "restarted_by": restart or kept.get("restarted_by")}
    if now != kept:
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
