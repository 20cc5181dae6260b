"""What a finished case left behind that an export needs: record, checkpoint, reduction and controls, all of them checked."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from bench.controls import CONTROLS, TRAINED
from bench.kit import paths, tensor_file
from bench.kit.environment import commit
from bench.kit.errors import UserError
from bench.plan.case import Case
from bench.results import record
from bench.results.record import Record
from bench.training import checkpoint


@dataclass(frozen=True)
class Trained:
    """A trained student: its tensors, named ``student.*``, and its logit scale; the reduction of its teacher's features,
    named ``reduction.*``, with the explained variance of each side, both empty where the features are not reduced."""

    tensors: dict[str, Tensor]
    logit_scale: float
    explained_variance: dict[str, float]


def finished(case: Case, results: Path, options: Sequence[str]) -> Record:
    """The case's record. Raises :class:`UserError` unless it is done, by the present code and configuration.

    ``options`` are those of pytest that choose the case.
    """
    path = paths.shown(record.path_of(results, case.id))
    try:
        entry = record.load(results, case.id)
    except record.RecordError as error:
        raise UserError(str(error)) from None
    if entry is None:
        raise UserError(f"{case.id} has no record in {paths.shown(results)}; run it with: {_command(case, *options)}")
    now = entry.as_run(case)
    again = f"run it with: {_command(now, *options)}"
    if entry.status != "done":
        raise UserError(f"{path}: the case is {entry.status}, not done ({entry.message}); {again}")
    if entry.fingerprint != now.fingerprint:
        changes = [
            f"{name} {entry.case.get(name)}, now {value}"
            for name, value in now.resolved().items()
            if entry.case.get(name) != value
        ]
        raise UserError(
            f"{path} is of another configuration than the present matrix, options and code ("
            f"{'; '.join(changes) or 'code, data or weights changed'}), so its student cannot be built from them. Go back to "
            f"those of {commit(entry.environment)}, or {again}"
        )
    return entry


def _command(case: Case, *options: str) -> str:
    """The command that runs a case, and no other."""
    precision = ["--precision", case.precision] if case.precision != "auto" else []
    return shlex.join(["pytest", f"bench/test_distill.py::test_distill[{case.id}]", *options, *precision])


def trained(case: Case, entry: Record, results: Path, options: Sequence[str]) -> Trained:
    """The student at the end of the case. Raises :class:`UserError` where something of it is not there whole."""
    again = f"train the student again with: {_command(case, *options, '--rerun', 'all')}"
    path = results / "checkpoints" / case.run / f"epoch-{case.epochs:04d}.safetensors"
    if not path.exists():
        raise UserError(f"the checkpoint {paths.shown(path)} is missing; {again}")
    try:
        tensors, facts = checkpoint.read(path)
    except (checkpoint.CheckpointError, OSError) as error:
        raise UserError(f"{error}; {again}") from None
    if (facts["run"], facts["epoch"]) != (case.run_fingerprint, case.epochs):
        raise UserError(f"the checkpoint {paths.shown(path)} is another configuration's; {again}")
    student = {name: tensor for name, tensor in tensors.items() if name.startswith("student.")}
    reduction, explained = _reduction(case, entry, again)
    return Trained(student | reduction, tensors["criterion.log_scale"].exp().item(), explained)


def trained_controls(case: Case, results: Path) -> dict[str, dict[str, float]]:
    """Metrics of the case's trained controls, of those that are done."""
    if case.control:
        return {}
    others = {name: CONTROLS[name].trained(replace(case, control=name, controls=())) for name in TRAINED}
    entries = {name: record.reusable(other, results) for name, other in others.items()}
    return {name: entry.metrics for name, entry in entries.items() if entry}


def _reduction(case: Case, entry: Record, again: str) -> tuple[dict[str, Tensor], dict[str, float]]:
    """The reduction that the student was trained with, and the explained variance by side; both empty without one.

    It is not fitted again: components of nearly equal variance could come out in another order.
    """
    if "explained_variance_image" not in entry.metrics:
        return {}, {}
    expected = {side: entry.metrics[f"explained_variance_{side}"] for side in ("image", "text")}
    folder = paths.features_folder() / f"{case.dataset}-{case.teacher}-{entry.protocol['feature_store']}"
    path = folder / "reduction.safetensors"
    try:
        tensors, _ = tensor_file.read(path)
    except (tensor_file.DamagedError, OSError):
        tensors = {}
    if not tensors or {side: tensors[f"{side}.explained"].item() for side in expected} != expected:
        raise UserError(
            f"{paths.shown(path)} is missing, damaged or not the one that the student was trained with: it reduces the features "
            f"of {case.teacher}, which the student cannot read without it; {again}"
        )
    parts = [f"{side}.{part}" for side in expected for part in ("weight", "bias")]
    return {f"reduction.{part}": tensors[part] for part in parts}, expected
