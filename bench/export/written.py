"""Exports the trained student of a finished case, to be used without the suite's results.

    python -m bench export CASE --to DIR

``DIR`` gets ``model.safetensors`` (the student's weights and, where the teacher's features were reduced, the reduction),
``config.json`` (what is needed to build it again), ``README.md`` (a model card), ``.eval_results/`` (its accuracies for the
hub) and, for students that stand alone,
``model.onnx`` and ``model.py``, or ``timm/`` for one of timm, which load without a checkout; with ``--classifier`` a linear
classifier. :mod:`bench.export.loaded` loads it. The optimiser's state and the loss's own parameters are left out.
"""

import hashlib
import shlex
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

import teachers
from bench import data, registry
from bench.controls import CONTROLS, TRAINED
from bench.data.split import Split
from bench.export import alone, card, classifier, graph, timm_folder
from bench.export.loaded import CONFIG, WEIGHTS, Config, Exported, TeacherConfig, load, teacher_facts
from bench.features.extract import weights_of
from bench.features.forward import weights_digest
from bench.features.several import Several, joint_digest
from bench.kit import paths, tensor_file
from bench.kit.environment import commit, lacking
from bench.kit.errors import UserError, nearest
from bench.kit.files import seal, write_atomically
from bench.plan.case import Case
from bench.results import record
from bench.results.record import Record
from bench.training import checkpoint
from students import Dims

EVALUATIONS = ".eval_results/distill-bench.yaml"  # where the hub looks for them


@dataclass(frozen=True)
class Trained:
    """A trained student: its tensors, named ``student.*``, and its logit scale; the reduction of its teacher's features,
    named ``reduction.*``, with the explained variance of each side, both empty where the features are not reduced."""

    tensors: dict[str, Tensor]
    logit_scale: float
    explained_variance: dict[str, float]


def named(cases: tuple[Case, ...], name: str) -> Case:
    """The case with this id. Raises :class:`UserError` with the nearest id where there is none."""
    by_id = {case.id: case for case in cases}
    if name not in by_id:
        raise UserError(
            f"unknown case '{name}' with this --profile, --matrix, --seeds and --controls, {nearest(name, by_id)}"
        )
    return by_id[name]


def export(
    case: Case,
    results: Path,
    to: Path,
    say: Callable[[str], object] = print,
    options: Sequence[str] = (),
    classify: bool = False,
) -> list[Path]:
    """Write the trained student of ``case`` into the folder ``to``, all of it or nothing; returns the files.

    ``results`` is the results folder with its record and checkpoint, ``options`` are those of pytest that choose the case;
    ``classify`` adds a linear classifier; ``say`` gets a line where a file is left out.

    Raises :class:`UserError` where ``to`` holds something, there are no labels to classify, the case is not finished by the
    present code, or its checkpoint, teacher or reduction are missing, damaged or others than those of the record.
    """
    if case.several and case.reads != "pixels":
        raise UserError(
            f"{case.id} reads the features of several teachers: of these only students that read pixels are exported"
        )
    to = to.expanduser().absolute()
    entry = _finished(case, results, options)
    case = entry.as_run(case)
    splits = classifier.splits_of(case) if classify else None
    student = _trained(case, entry, results, options)
    if to.exists() and not (to.is_dir() and not any(to.iterdir())):
        raise UserError(f"--to {paths.shown(to)} already exists; name a new folder, or remove it first")
    folder = to.with_name(f".{to.name}.partial")
    shutil.rmtree(folder, ignore_errors=True)  # of an export that was killed
    folder.mkdir(parents=True)
    try:
        write_atomically(folder / WEIGHTS, lambda path: save_file(student.tensors, path, {"format": "pt"}))
        config = _config(case, entry, student, _digest(folder / WEIGHTS))
        _write_config(config, folder)
        model = load(folder, weights_of(case).path)  # as a user will
        config, difference = _with_others(model, folder, splits, entry, say)
        _write_config(config, folder)
        text = card.text(entry, _trained_controls(case, results), config, difference)
        (folder / "README.md").write_text(text, encoding="utf-8")
        (folder / EVALUATIONS).parent.mkdir()
        (folder / EVALUATIONS).write_text(card.evaluations(entry, config), encoding="utf-8")
        folder.replace(to)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return sorted(to.iterdir())


def _with_others(
    model: Exported, folder: Path, splits: tuple[Split, Split] | None, entry: Record, say: Callable[[str], object]
) -> tuple[Config, float | None]:
    """Write what loads without a checkout, and a classifier fitted on the ``splits`` of the data where there are any.

    Returns the configuration that states them, and the ONNX graph's difference to PyTorch, None without one.
    """
    made = splits and classifier.fit(model, splits, model.image, entry.protocol["probe"]["regularisation"])
    stated: dict[str, Any] = {"classifier": made and made.config}
    if made:
        classifier.write(made, folder)
    if model.config.reads != "pixels":
        return model.config.model_copy(update=stated), None
    difference = graph.write(model, folder, say, made)
    if difference is not None:
        stated["onnx_sha256"] = _digest(folder / graph.GRAPH)
    if model.config.student_model:
        tower = model.student.image_tower
        stated |= {"alone": timm_folder.FOLDER, "timm_classifier": timm_folder.write(model, folder, splits, say)}
        stated |= {
            "trunk_width": tower.head[0].in_features,
            "student_licence": tower.trunk.pretrained_cfg.get("license"),
        }
    elif reason := alone.write(model, folder):
        say(f"{alone.FILE} was left out: {reason}, so that it loads with a checkout only")
    else:
        stated["alone"] = alone.FILE
    return model.config.model_copy(update=stated), difference


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _write_config(config: Config, folder: Path) -> None:
    (folder / CONFIG).write_text(seal(config.model_dump(mode="json")), encoding="utf-8")


def _finished(case: Case, results: Path, options: Sequence[str]) -> Record:
    """The case's record. Raises :class:`UserError` unless it is done, by the present code and configuration.

    ``options`` are those of pytest that choose the case.
    """
    path = paths.shown(record.path_of(results, case.id))
    entry = record.load(results, case.id)
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


def _trained(case: Case, entry: Record, results: Path, options: Sequence[str]) -> Trained:
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


def _trained_controls(case: Case, results: Path) -> dict[str, dict[str, float]]:
    """Metrics of the case's trained controls, of those that are done."""
    if case.control:
        return {}
    names = [name for name in TRAINED if case.kind in CONTROLS[name].kinds]
    others = {name: CONTROLS[name].trained(replace(case, control=name, controls=())) for name in names}
    entries = {name: record.reusable(other, results) for name, other in others.items()}
    return {name: entry.metrics for name, entry in entries.items() if entry}


def _reduction(case: Case, entry: Record, again: str) -> tuple[dict[str, Tensor], dict[str, float]]:
    """The reduction that the student was trained with, and the explained variance by side; both empty without one.

    It is not fitted again: components of nearly equal variance could come out in another order.
    """
    if "explained_variance_image" not in entry.metrics:
        return {}, {}
    kept = {side: entry.metrics.get(f"explained_variance_{side}") for side in ("image", "text")}
    expected = {side: share for side, share in kept.items() if share is not None}
    folder = paths.features_of(f"{case.dataset}-{case.teacher}-{entry.protocol['feature_store']}")
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


def _config(case: Case, entry: Record, student: Trained, sha256: str) -> Config:
    """``config.json``; ``sha256`` is that of the weights' file."""
    weights = weights_of(case)
    teacher, facts = _teacher(case)
    if facts["sha256"] != entry.protocol["teacher_weights_sha256"]:
        raise UserError(
            f"teacher {case.teacher} has other weights than the one that {case.id} was trained with (sha256 {facts['sha256']}, "
            f"then {entry.protocol['teacher_weights_sha256']}); bring those back, or run the case again"
        )
    crop = True if case.images else registry.constant("dataset", case.dataset, "CROP", False)
    licence = None if case.images else registry.constant("dataset", case.dataset, "LICENCE", None)
    git = entry.environment["git"]
    files = [file.relative_to(paths.ROOT).as_posix() for file in case.files()]
    side = data.load(case.dataset, "test", 1, images=case.images).side
    # As it is built again: its weights are those of the export.
    model = case.student_model and replace(case.student_model.at(side), pretrained=False)
    each = teacher.teachers.values() if case.several else [teacher]
    width = sum(one.reduce_to or one.image(torch.zeros(1, 3, one.size, one.size)).pooled.shape[1] for one in each)
    described = TeacherConfig(
        name=case.teacher, weights=weights.kind, trained_on=weights.trained_on,
        revision=teacher.provenance["revision"], provenance=teacher.provenance,
        licence=_licence(case, teacher), model=case.teacher_model, **facts,
    )  # fmt: skip
    return Config(
        case=case.id, student=case.student, student_model=model, kind=case.kind, reads=case.reads,
        text_reads=case.text_reads if case.kind == "captions" else None,
        dims=Dims(width, case.embedding, case.bottleneck, case.trunk),
        side=model.size if model else side, crop=crop,
        logit_scale=student.logit_scale, teacher=described, explained_variance=student.explained_variance,
        weights_sha256=sha256, training=case.resolved(), fingerprint=case.fingerprint,
        environment=entry.environment | {"git": git | {"lacks": lacking(git.get("commit"), files)}},
        dataset={"name": case.dataset, "licence": licence, "facts": entry.protocol["data"]},
    )  # fmt: skip


def _teacher(case: Case) -> tuple[teachers.Teacher, dict]:
    """The case's teacher, several as one, and what tells it from another."""
    loaded = {
        one.teacher: teachers.load(one.teacher, weights_of(one), one.geometry, one.teacher_model) for one in case.alone
    }
    if not case.several:
        [teacher] = loaded.values()
        return teacher, teacher_facts(teacher)
    teacher = Several(loaded, nn.Identity())
    return teacher, teacher_facts(teacher) | {"sha256": joint_digest(map(weights_digest, loaded.values()))}


def _licence(case: Case, teacher: teachers.Teacher) -> str | None:
    """The licence of the teacher's weights, None where none is stated; of several teachers all, or None."""
    if case.several:
        licences = [_licence(one, teacher.teachers[one.teacher]) for one in case.alone]
        return None if None in licences else " + ".join(dict.fromkeys(licences))
    return teacher.licence if case.teacher_model else registry.constant("teacher", case.teacher, "LICENCE", None)
