"""matrix.yaml to validated, frozen cases, with ids, fingerprints and errors that name file:line:column.

Nothing here imports torch: a plan must appear in about a second.
"""

from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from bench import catalog
from bench.case import Case
from bench.located import LocatedError, LocatedYaml
from bench.metrics import METRICS
from bench.schema import KINDS, Checkpoint, Matrix, Override, Profile, explain

DEFAULT = catalog.ROOT / "matrix.yaml"
LOSSES = catalog.read_constant(catalog.ROOT / "bench" / "losses.py", "NAMES")


class MatrixError(LocatedError):
    """matrix.yaml cannot be used; the message says where and what was expected."""


def load(path: Path = DEFAULT) -> Matrix:
    """Read and validate a matrix. Raises :class:`MatrixError` with ``file:line:column`` for each fault."""
    try:
        file = LocatedYaml(path)
        matrix = Matrix.model_validate(file.data)
    except ValidationError as error:
        raise MatrixError(explain(error.errors(), file)) from None
    except LocatedError as error:
        raise MatrixError(str(error)) from None
    faults = [f"{file.place(where)}: {message}" for where, message in _unfit_values(matrix)]
    faults += [f"{file.place_of_key(where)}: {message}" for where, message in _unknown_keys(matrix)]
    if faults:
        raise MatrixError("\n".join(faults))
    return matrix


def cases(matrix: Matrix, profile: str, path: Path = DEFAULT) -> tuple[Case, ...]:
    """All cases of a profile, those that share features and training runs next to each other."""
    if profile not in matrix.profiles:
        known = tuple(matrix.profiles)
        raise MatrixError(f"{path.name}: unknown profile '{profile}', {catalog.nearest(profile, known)}")
    chosen = matrix.profiles[profile]
    several = len(chosen.seeds) > 1
    return tuple(
        _case(matrix, chosen, dataset, teacher, student, epochs, seed, several)
        for dataset, teachers in chosen.pairs.items()
        for teacher in teachers
        for student in chosen.students
        for seed in chosen.seeds
        for epochs in sorted(chosen.epochs)
    )


def _case(matrix: Matrix, profile: Profile, dataset, teacher, student, epochs, seed, several) -> Case:
    override = matrix.overrides.get(student, Override())
    checkpoint = matrix.teachers.get(teacher, Checkpoint()) if profile.weights == "pretrained" else Checkpoint()
    training = [
        part.model_dump(exclude={"loss"}, exclude_none=True) for part in (matrix.training, profile.training, override)
    ]
    return Case(
        dataset=dataset,
        teacher=teacher,
        student=student,
        epochs=epochs,
        seed=seed,
        weights=profile.weights,
        checkpoint=checkpoint.path,
        revision=checkpoint.revision,
        train_samples=profile.samples.train,
        test_samples=profile.samples.test,
        **profile.widths.model_dump(),
        loss=_loss(override, student, catalog.constant("dataset", dataset, "KIND")),
        **(training[0] | training[1] | training[2]),
        features=profile.features,
        several_seeds=several,
    )


def _loss(override: Override, student: str, kind: str) -> str:
    """The loss from matrix.yaml, else the student's own, which is checked here."""
    if kind in override.loss:
        return override.loss[kind]
    file, losses = catalog.path("student", student).name, catalog.constant("student", student, "LOSS")
    if not isinstance(losses, dict) or kind not in losses:
        raise MatrixError(f"{file}: LOSS has no loss for {kind}; expected a dict with {' and '.join(KINDS)}")
    if losses[kind] not in LOSSES:
        raise MatrixError(f"{file}: unknown loss '{losses[kind]}', {catalog.nearest(str(losses[kind]), tuple(LOSSES))}")
    if reason := _unfit(losses[kind], student, kind):
        raise MatrixError(f"{file}: {reason}")
    return losses[kind]


def _unknown_keys(matrix: Matrix) -> Iterator[tuple[tuple, str]]:
    """Keys that name no dataset, student or metric: (where, message)."""
    for name, profile in matrix.profiles.items():
        for dataset in profile.pairs:
            yield from _unknown("dataset", dataset, ("profiles", name, "pairs", dataset))
    for teacher in matrix.teachers:
        yield from _unknown("teacher", teacher, ("teachers", teacher))
    for student in matrix.overrides:
        yield from _unknown("student", student, ("overrides", student))
    for metric in matrix.tolerances:
        if metric not in METRICS:
            yield ("tolerances", metric), f"unknown metric '{metric}', {catalog.nearest(metric, tuple(METRICS))}"


def _unfit_values(matrix: Matrix) -> Iterator[tuple[tuple, str]]:
    """Values that name nothing that exists, or do not fit together: (where, message)."""
    for name, profile in matrix.profiles.items():
        for position, student in enumerate(profile.students):
            yield from _unknown("student", student, ("profiles", name, "students", position))
        for dataset, teachers in profile.pairs.items():
            for position, teacher in enumerate(teachers):
                where = ("profiles", name, "pairs", dataset, position)
                if dataset not in catalog.names("dataset"):
                    continue
                yield from _unknown("teacher", teacher, where)
                if teacher in teachers[:position]:
                    yield where, f"teacher '{teacher}' is listed twice"
                if teacher in catalog.names("teacher"):
                    yield from _mismatch(dataset, teacher, where)
        usual = profile.training.batch_size or matrix.training.batch_size
        sizes = [usual, *(o.batch_size for o in matrix.overrides.values() if o.batch_size)]
        if profile.training.loss:
            yield ("profiles", name, "training", "loss"), "a loss is chosen per student, under overrides"
        for split, count in profile.samples:
            if count is not None and count < max(sizes):
                where = ("profiles", name, "samples", split)
                yield where, f"{count} samples are fewer than a batch of {max(sizes)}"
    for student, override in matrix.overrides.items():
        for kind, loss in override.loss.items():
            where = ("overrides", student, "loss", kind)
            if loss not in LOSSES:
                yield where, f"unknown loss '{loss}', {catalog.nearest(loss, tuple(LOSSES))}"
            elif student in catalog.names("student") and (reason := _unfit(loss, student, kind)):
                yield where, reason


def _unknown(kind: str, name: str, where: tuple) -> Iterator[tuple[tuple, str]]:
    known = catalog.names(kind)
    if name not in known:
        yield where, f"unknown {kind} '{name}', {catalog.nearest(name, known)}"


def _mismatch(dataset: str, teacher: str, where: tuple) -> Iterator[tuple[tuple, str]]:
    needs, has = catalog.constant("teacher", teacher, "KIND"), catalog.constant("dataset", dataset, "KIND")
    if needs != has:
        fitting = [name for name in catalog.names("dataset") if catalog.constant("dataset", name, "KIND") == needs]
        yield (
            where,
            f"teacher '{teacher}' needs a dataset of kind {needs}, but '{dataset}' is of kind {has}; "
            f"datasets that fit: {', '.join(fitting)}",
        )


def _unfit(loss: str, student: str, kind: str) -> str | None:
    if LOSSES[loss] == "captions" and kind != "captions":
        return f"loss '{loss}' needs captions, expected a loss for {kind}"
    if (
        LOSSES[loss] == "attention"
        and "attention-transfer" not in catalog.constant("student", student, "LOSS").values()
    ):
        return f"loss '{loss}' needs a student with an attention map, which '{student}' has not"
    return None
