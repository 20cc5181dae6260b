"""Exports the trained student of a finished case, to be used without the suite's results.

    python -m bench export CASE --to DIR

``DIR`` gets ``model.safetensors`` (the student's weights and, where the teacher's features were reduced, the reduction),
``config.json`` (what is needed to build it again), ``README.md`` (a model card) and, for students that stand alone,
``model.onnx``. :mod:`bench.export.loaded` loads it. The optimiser's state and the loss's own parameters are left out.
"""

import hashlib
import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import save_file

import teachers
from bench import data, registry
from bench.export import card, graph, sources
from bench.export.loaded import CONFIG, WEIGHTS, Config, Exported, TeacherConfig, load, teacher_facts
from bench.kit import paths
from bench.kit.checksum import seal
from bench.kit.errors import UserError, nearest
from bench.kit.files import write_atomically
from bench.plan.case import Case
from bench.results.record import Record
from bench.run.teacher import weights_of
from students import Dims


def named(cases: tuple[Case, ...], name: str) -> Case:
    """The case with this id. Raises :class:`UserError` with the nearest id where there is none."""
    by_id = {case.id: case for case in cases}
    if name not in by_id:
        raise UserError(f"unknown case '{name}', {nearest(name, by_id)}")
    return by_id[name]


def export(
    case: Case, results: Path, to: Path, say: Callable[[str], object] = print, options: Sequence[str] = ()
) -> list[Path]:
    """Write the trained student of ``case`` into the folder ``to``, all of it or nothing; returns the files.

    ``results`` is the results folder with its record and checkpoint, ``options`` are those of pytest that choose the case;
    ``say`` gets a line where the ONNX graph is left out.

    Raises :class:`UserError` where ``to`` holds something, the case is not finished by the present code, or its checkpoint,
    teacher or reduction are missing, damaged or others than those of the record.
    """
    to = to.expanduser().absolute()
    record = sources.finished(case, results, options)
    case = record.as_run(case)
    student = sources.trained(case, record, results, options)
    if to.exists() and not (to.is_dir() and not any(to.iterdir())):
        raise UserError(f"--to {paths.shown(to)}: there is something already; give a new folder, or remove it first")
    folder = to.with_name(f".{to.name}.partial")
    shutil.rmtree(folder, ignore_errors=True)  # of an export that was killed
    folder.mkdir(parents=True)
    try:
        write_atomically(folder / WEIGHTS, lambda path: save_file(student.tensors, path, {"format": "pt"}))
        config = _config(case, record, student, hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest())
        (folder / CONFIG).write_text(seal(config.model_dump(mode="json")), encoding="utf-8")
        model = load(folder, weights_of(case).path)  # as a user will
        difference = _graph(model, folder, say) if config.reads == "pixels" else None
        text = card.text(record, sources.trained_controls(case, results), config, difference)
        (folder / "README.md").write_text(text, encoding="utf-8")
        folder.replace(to)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return sorted(to.iterdir())


def _graph(model: Exported, folder: Path, say: Callable[[str], object]) -> float | None:
    """The largest difference of ``model.onnx`` to PyTorch; None where it was left out, of which ``say`` gets a line."""
    if missing := graph.missing():
        say(f"{graph.FILE} was left out: {', '.join(missing)} not installed; uv sync --extra onnx installs them")
        return None
    try:
        return graph.write(model, folder)
    except torch.onnx.OnnxExporterError as error:
        reason = str(error).strip().partition("\n")[0]
        say(f"{graph.FILE} was left out: torch.onnx cannot express the student '{model.config.student}' ({reason})")
        return None


def _config(case: Case, record: Record, student: sources.Trained, sha256: str) -> Config:
    """``config.json``; ``sha256`` is that of the weights' file."""
    weights = weights_of(case)
    teacher = teachers.load(case.teacher, weights, case.geometry)
    facts = teacher_facts(teacher)
    if facts["sha256"] != record.protocol["teacher_weights_sha256"]:
        raise UserError(
            f"teacher {case.teacher} has other weights than the one that {case.id} was trained with (sha256 {facts['sha256']}, "
            f"then {record.protocol['teacher_weights_sha256']}); bring those back, or run the case again"
        )
    source = partial(registry.constant, "dataset", case.dataset)
    licence = source("LICENCE", "Drawn by the suite's own seeded generator: no picture or caption of anybody else's")
    width = teacher.reduce_to or teacher.image(torch.zeros(1, 3, teacher.size, teacher.size)).pooled.shape[1]
    described = TeacherConfig(
        name=case.teacher, weights=weights.kind, trained_on=weights.trained_on,
        revision=teacher.provenance["revision"], provenance=teacher.provenance, **facts,
    )  # fmt: skip
    return Config(
        case=case.id, student=case.student, kind=case.kind, reads=case.reads,
        text_reads=case.text_reads if case.kind == "captions" else None,
        dims=Dims(width, case.embedding, case.bottleneck, case.trunk),
        side=data.load(case.dataset, "test", 1).side, crop=source("CROP", False),
        logit_scale=student.logit_scale, teacher=described, explained_variance=student.explained_variance,
        weights_sha256=sha256, training=case.resolved(), fingerprint=case.fingerprint, environment=record.environment,
        dataset={"name": case.dataset, "licence": licence, "facts": record.protocol["data"]},
    )  # fmt: skip
