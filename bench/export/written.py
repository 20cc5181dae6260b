"""Exports the trained student of a finished case, to be used without the suite's results.

    python -m bench export CASE --to DIR

``DIR`` gets ``model.safetensors`` (the student's weights and, where the teacher's features were reduced, the reduction),
``config.json`` (what is needed to build it again), ``README.md`` (a model card) and, for students that stand alone,
``model.onnx``. :mod:`bench.export.loaded` loads it. The optimiser's state and the loss's own parameters are left out.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from safetensors.torch import save_file

import teachers
from bench import data, registry
from bench.data import prepared
from bench.export import card, graph
from bench.export.loaded import CONFIG, WEIGHTS, Config, Exported, TeacherConfig, load, teacher_facts
from bench.export.sources import Trained, controls, finished, trained
from bench.kit import paths
from bench.kit.checksum import seal
from bench.kit.errors import UserError, nearest
from bench.kit.files import write_atomically, write_text
from bench.plan.case import Case
from bench.results.record import Record
from bench.run.teacher import weights_of
from students import Dims


def named(cases: tuple[Case, ...], name: str) -> Case:
    """The case with this id. Raises :class:`UserError` with the nearest id where there is none."""
    by_id = {case.id: case for case in cases}
    if name not in by_id:
        raise UserError(f"unknown case '{name}', {nearest(name, tuple(by_id))}")
    return by_id[name]


def export(
    case: Case, results: Path, to: Path, say: Callable[[str], object] = print, options: Sequence[str] = ()
) -> list[Path]:
    """Write the trained student of ``case`` into the folder ``to``, all of it or nothing; returns the files.

    ``results`` is the results folder with its record and checkpoint, ``options`` are those of pytest that choose the case;
    ``say`` is called with the reason where the ONNX graph is left out.

    Raises :class:`UserError` where ``to`` is not empty, the case is not finished by the present code, or its checkpoint,
    teacher or reduction is missing, damaged or not that of the record.
    """
    to = to.expanduser().absolute()
    record = finished(case, results, options)
    case = record.as_run(case)
    student = trained(case, record, results, options)
    with _whole(to) as folder:
        write_atomically(folder / WEIGHTS, lambda path: save_file(student.tensors, path, {"format": "pt"}))
        config = _config(case, record, student, hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest())
        write_text(folder / CONFIG, seal(config.model_dump(mode="json")))
        # Read back as a user will; a teacher that is another one by now is refused here.
        model = load(folder, weights_of(case).path)
        difference = _graph(model, folder, say) if config.reads == "pixels" else None
        write_text(folder / "README.md", card.text(record, controls(case, results), config, difference))
    return sorted(to.iterdir())


def _graph(model: Exported, folder: Path, say: Callable[[str], object]) -> float | None:
    """The largest difference of ``model.onnx`` to PyTorch; None where it was left out, for a reason that ``say`` gets."""
    if lacking := ", ".join(graph.missing()):
        say(f"{graph.FILE} was left out: {lacking} not installed; uv sync --extra onnx installs them")
        return None
    try:
        return graph.write(model, folder)
    except torch.onnx.OnnxExporterError as error:
        reason = str(error).strip().partition("\n")[0]
        say(f"{graph.FILE} was left out: torch.onnx cannot express the student '{model.config.student}' ({reason})")
        return None


def _config(case: Case, record: Record, student: Trained, digest: str) -> Config:
    """``config.json``; ``digest`` is that of the weights' file."""
    teacher, weights = teachers.load(case.teacher, weights_of(case)), weights_of(case)
    facts = teacher_facts(teacher)
    if facts["sha256"] != record.protocol["teacher_weights_sha256"]:
        raise UserError(
            f"teacher {case.teacher} has other weights than the one that {case.id} was trained with (sha256 {facts['sha256']}, "
            f"then {record.protocol['teacher_weights_sha256']}); bring those back, or run the case again"
        )
    width = teacher.reduce_to or teacher.image(torch.zeros(1, 3, teacher.size, teacher.size)).pooled.shape[1]
    described = TeacherConfig(
        name=case.teacher, weights=weights.kind, trained_on=weights.trained_on,
        revision=teacher.provenance["revision"], provenance=teacher.provenance, **facts,
    )  # fmt: skip
    source = registry.module("dataset", case.dataset)
    return Config(
        case=case.id, student=case.student, kind=case.kind, reads=case.reads,
        text_reads=case.text_reads if case.kind == "captions" else None,
        dims=Dims(width, case.embedding, case.bottleneck, case.trunk),
        side=data.load(case.dataset, "test", 1).side, crop=getattr(source, "CROP", False),
        logit_scale=student.logit_scale, teacher=described, explained_variance=student.explained_variance,
        weights_sha256=digest, training=case.resolved(), fingerprint=case.fingerprint, environment=record.environment,
        dataset={"name": case.dataset, "licence": _licence(case), "facts": record.protocol["data"]},
    )  # fmt: skip


def _licence(case: Case) -> str:
    if prepared.is_prepared_kind(case.dataset):
        return registry.constant("dataset", case.dataset, "LICENCE")
    return "Drawn by the suite's own seeded generator: no picture or caption of anybody else's"


@contextmanager
def _whole(to: Path) -> Iterator[Path]:
    """A folder that is filled in the block and then becomes ``to``; nothing is left of it where the block fails.

    Raises :class:`UserError` where there is something at ``to`` already, but for an empty folder.
    """
    if to.exists() and not (to.is_dir() and not any(to.iterdir())):
        raise UserError(f"--to {paths.shown(to)}: there is something already; give a new folder, or remove it first")
    to.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f".{to.name}.", dir=to.parent) as beside:
        folder = Path(beside) / to.name
        folder.mkdir()
        yield folder
        folder.replace(to)
