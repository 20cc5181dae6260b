"""One teacher, one student, one's own images: a matrix of one case, run by the same pytest session as any other.

    python -m bench distill --data DIR --teacher timm:NAME --student timm:NAME --epochs 20 --to OUT

``OUT`` gets ``matrix.yaml`` (to go on from, with more teachers, students, seeds), records, checkpoints and the report as
any results folder has them, and the student as ``python -m bench export`` writes it.
"""

import re
import shutil
import tempfile
from argparse import Namespace
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from bench import registry, trackers
from bench.data import own as own_images
from bench.data import prepared
from bench.declared import LIBRARIES, Images
from bench.export import export
from bench.export.classifier import require_labels
from bench.kit.errors import LocatedError, UserError, nearest, shown
from bench.kit.markdown import counted, duration
from bench.kit.paths import ROOT, usable
from bench.kit.paths import shown as shown_path
from bench.kit.progress import Progress
from bench.options import for_pytest
from bench.plan import matrix
from bench.plan.case import Case
from bench.prepare import own
from bench.results import record
from bench.run.estimate import trials
from bench.run.job import by_run
from bench.run.preview import lengths_of_runs, makespan
from bench.run.processes import slots

PROFILE = matrix.DISTILL
POINTS = 50  # of a learning curve, at most


def declared(kind: str, text: str) -> tuple[str, dict]:
    """An entry's name for ids, and what a matrix says of it: of ``LIBRARY:MODEL`` (of open_clip with ``:WEIGHTS``), or of the
    name of one that the suite has, where nothing needs to be said.

    Raises :class:`UserError` for what is neither.
    """
    library, colon, model = text.partition(":")
    libraries = LIBRARIES if kind == "teacher" else ("timm",)
    if not colon:
        if text in registry.names(kind):
            return text, {}
        raise UserError(f"--{kind} {text}: {nearest(text, registry.names(kind))}; or {_forms(libraries)}")
    if library not in libraries or not model:
        raise UserError(f"--{kind} {shown(text)}: expected {_forms(libraries)}")
    entry = {library: model}
    if library == "open_clip":
        model, _, tag = model.partition(":")
        entry = {library: model} | ({"pretrained": tag} if tag else {})
    # Without a hub's owner, and without timm's tag of the weights.
    return _name(kind, model.rpartition("/")[2].partition(".")[0]), entry


def _forms(libraries: tuple[str, ...]) -> str:
    return " or ".join(f"{library}:MODEL" for library in libraries)


def _name(kind: str, text: str) -> str:
    """``text`` as a part of ids, which no file of the suite has."""
    name = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_") or kind
    return f"my_{name}" if name in registry.names(kind) else name


def content(options: Namespace) -> dict:
    """The matrix of the command's options, as plain data."""
    folder = options.images.expanduser().resolve()
    teacher, teacher_entry = declared("teacher", options.teacher)
    student, student_entry = declared("student", options.student)
    dataset = _name("dataset", folder.name)
    images = {"images": str(folder), "size": options.size}
    if options.captions:
        images["captions"] = str(options.captions.expanduser().resolve())
    if options.teacher_path:
        teacher_entry["path"] = str(options.teacher_path.expanduser().resolve())
    asked = {"batch_size": options.batch_size, "views": options.views}
    training = matrix.load().training.model_dump() | {name: value for name, value in asked.items() if value}
    training["evaluate_every"] = -(-options.epochs // POINTS)
    entries = {
        "teachers": (teacher, teacher_entry),
        "students": (student, student_entry),
        "datasets": (dataset, images),
    }
    profile = {
        "weights": options.weights,
        "pairs": {dataset: [teacher]},
        "students": [student],
        "epochs": [options.epochs],
        "seeds": [0],
        "samples": {"train": "all", "test": "all"},
        "widths": {"embedding": 256, "bottleneck": 128, "trunk": "full"},
        "controls": ["untrained", "teacher", "raw-pixels"],
    }
    # The suite's own need no entry.
    sections = {section: {name: entry} for section, (name, entry) in entries.items() if entry}
    if options.loss:
        sections["overrides"] = {student: {"loss": {_kind(images, teacher, teacher_entry): options.loss}}}
    return sections | {"profiles": {PROFILE: profile}, "training": training}


def _kind(images: dict, teacher: str, entry: dict) -> str:
    """The kind of data that this teacher sees: of a caption set the images alone, where it reads no text."""
    kind = own_images.kind(Images(images["images"], images.get("captions")))
    reads_text = "open_clip" in entry or (not entry and registry.constant("teacher", teacher, "KIND") == "captions")
    return "images" if kind == "captions" and not reads_text else kind


def write_matrix(options: Namespace, path: Path) -> tuple[Case, ...]:
    """Write the matrix of the command's options to ``path``, and return its cases. Raises :class:`UserError`, and leaves what
    is there, where they make no sense, or the results beside it are of other options than these and another length."""
    made = content(options)
    if changed := _changed(_made_before(path) or made, made):
        raise UserError(
            f"--to {shown_path(path.parent)} holds what the command made with other options (its {path.name} differs in {changed}): "
            "give the old ones, with --epochs as you like, or another folder"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    text = yaml.safe_dump(made, sort_keys=False)
    seeds, controls = matrix.chosen(options.seeds, options.controls)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".") as folder:
        new = Path(folder) / path.name
        new.write_text(f"# Made by python -m bench distill, which makes it again: copy it to go on from it.\n{text}")
        try:
            cases = matrix.cases(matrix.load(new), PROFILE, new, seeds, controls)
        except LocatedError as error:  # by its place in a file that nobody wrote, and that is gone
            raise UserError(re.sub(rf"(?m)^{path.name}:\d+:\d+: ", "", str(error))) from None
        new.replace(path)
    return cases


def _made_before(path: Path) -> dict | None:
    """The matrix of the results that lie beside ``path``; None where there are none, or it cannot be read."""
    if not any(path.parent.glob("records/*.json")):
        return None
    try:
        before = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return None
    return before if isinstance(before, dict) else None


def _changed(before: dict, now: dict, place: str = "") -> str | None:
    """Where two matrices first differ in more than their length, as keys with dots between; None where nowhere."""
    for name in dict.fromkeys([*before, *now]):
        one, other = before.get(name), now.get(name)
        if name not in ("epochs", "evaluate_every") and one != other:
            both = isinstance(one, dict) and isinstance(other, dict)
            if not both or (below := _changed(one, other, f"{place}{name}.")):
                return below if both else f"{place}{name}"
    return None


def arguments(options: Namespace, path: Path) -> list[str]:
    """What pytest is given: the one benchmark with the matrix at ``path``, and what else was asked for."""
    benchmark = ["-c", str(ROOT / "pyproject.toml"), str(ROOT / "bench" / "test_distill.py")]
    quietly = ["-q", "-p", "no:benchmark", "-W", "ignore:Module already imported so cannot be rewritten"]
    own = ["--matrix", str(path), "--profile", PROFILE, "--results", str(path.parent)]
    return [*benchmark, *quietly, *own, *for_pytest(options)]


def run(options: Namespace, say: Callable[[str], None]) -> int:
    """Say what will be done and for about how long, do it, and export the student; returns pytest's exit code.

    Raises :class:`UserError` where the images, the models or the folder are not what they should be.
    """
    if options.teacher_path and options.weights == "random":
        raise UserError("--teacher-path gives the teacher weights and --weights random none: leave one of them out")
    folder = usable(options.to, "--to")
    cases = write_matrix(options, folder / "matrix.yaml")
    case = cases[0]
    if options.classifier:
        require_labels(case)
    with closing(Progress.on_stderr()) as progress:
        splits = prepared.manifest(own.make_ready(case.dataset, case.images, progress.say, progress.task))["splits"]
    images = {name: part["images"] for name, part in splits.items()}
    if (fewest := min(images.values())) < case.batch_size:
        smaller = f", or add --batch-size {fewest} or less" if fewest > 1 else ""
        raise UserError(
            f"--data {shown_path(options.images)}: {images['train']} images to train on and {images['test']} held out, fewer "
            f"than a batch of {case.batch_size}; take more images{smaller}"
        )
    say(_intention(cases, images, options, folder))
    code = pytest.main(arguments(options, folder / "matrix.yaml"))
    if code:
        return int(code)
    student, made = folder / "student", folder / "student-new"
    shutil.rmtree(made, ignore_errors=True)  # of a killed run
    files = export(case, folder, made, say, classify=options.classifier)
    shutil.rmtree(student, ignore_errors=True)  # of an earlier run, until there is another
    made.rename(student)
    if options.log:
        with closing(Progress.on_stderr()) as progress:
            records = [record.load(folder, case.id)]
            say("\n".join(trackers.log(options.log, folder, PROFILE, records, progress.task, export=student)))
    say("\n".join(f"exported: {shown_path(student / path.name)}" for path in files))
    return 0


def _intention(cases: tuple[Case, ...], images: dict[str, int], options: Namespace, folder: Path) -> str:
    """The cases in words, and the time of those that are not done, by trial steps."""
    case, asked = cases[0], [replace(case, precision=options.precision) for case in cases]
    new = [one for one in asked if not record.reusable(one, folder)]
    workers = 1 if options.executor == "serial" else min(len(by_run(new)), slots(options.device)) or 1
    tried = trials(new, lambda *_: None, options.device, workers).seconds
    expected = makespan(lengths_of_runs(new, {one.id: 0.0 for one in new} | tried), workers)
    what = {"classification": "with labels", "captions": "with captions", "images": "without labels"}[case.kind]
    if options.captions and case.kind == "images":
        what = "without their captions, which this teacher does not read"
    count = f" for {len(new)} cases" if len(new) > 1 else ""
    more = "; captions come on top" if case.kind == "captions" else ""
    return (
        f"{options.teacher} ({options.weights}) into {options.student}, {counted(case.epochs, 'epoch')} of {case.loss}, in batches of {case.batch_size}\n"
        f"{images['train']:,} images to train on and {images['test']:,} held out, {what}, at {case.images.size} px\n"
        + (f"about {duration(expected)}{count}, by trial steps here{more}" if new else "all of it is done already")
    )
