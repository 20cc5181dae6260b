"""What in a matrix names nothing that exists, or does not fit together: (where, message) of each fault."""

from collections.abc import Iterator

from bench import registry
from bench.data.prepared import is_prepared_kind
from bench.kit.errors import shown
from bench.metrics import METRICS
from bench.plan.schema import Matrix, Override, Profile

Fault = tuple[tuple, str]


def unknown_keys(matrix: Matrix) -> Iterator[Fault]:
    """Keys that name no dataset, teacher, student or metric."""
    for name, profile in matrix.profiles.items():
        for dataset in profile.pairs:
            yield from _unknown("dataset", dataset, ("profiles", name, "pairs", dataset))
    for teacher in matrix.teachers:
        yield from _unknown("teacher", teacher, ("teachers", teacher))
    for student in matrix.overrides:
        yield from _unknown("student", student, ("overrides", student))
    for metric in matrix.tolerances:
        if metric not in METRICS:
            yield ("tolerances", metric), f"unknown metric '{metric}', {registry.nearest(metric, tuple(METRICS))}"


def unfit_values(matrix: Matrix) -> Iterator[Fault]:
    """Values that name nothing that exists, or do not fit together."""
    for name, profile in matrix.profiles.items():
        for where, message in _unfit_profile(matrix, profile):
            yield ("profiles", name, *where), message
    for student, override in matrix.overrides.items():
        for kind, loss in override.loss.items():
            yield from _unfit_loss(loss, (student,), kind, ("overrides", student, "loss", kind))
    for metric, tolerance in matrix.tolerances.items():
        if metric in METRICS and METRICS[metric].better == "equal" and tolerance.absolute != 0:
            yield ("tolerances", metric), f"tolerances.{metric}: must be equal to the baseline's, expected 0"


def _unfit_profile(matrix: Matrix, profile: Profile) -> Iterator[Fault]:
    """The same of one profile, places as seen from it. An unknown dataset is a fault of its key: :func:`unknown_keys`."""
    pairs = {name: teachers for name, teachers in profile.pairs.items() if name in registry.names("dataset")}
    for position, student in enumerate(profile.students):
        yield from _unknown("student", student, ("students", position))
    for dataset, teachers in pairs.items():
        for position, teacher in enumerate(teachers):
            where = ("pairs", dataset, position)
            yield from _unknown("teacher", teacher, where)
            if teacher in teachers[:position]:
                yield where, f"teacher '{teacher}' is listed twice"
            if teacher in registry.names("teacher"):
                yield from _unfit_teacher(dataset, teacher, profile.weights, where)
    if profile.training.loss:
        yield ("training", "loss"), "a loss is chosen per student, under overrides"
    usual = profile.training.batch_size or matrix.training.batch_size
    batch = max(matrix.overrides.get(student, Override()).batch_size or usual for student in profile.students)
    drawn = [dataset for dataset in pairs if not is_prepared_kind(dataset)]
    for split, count in profile.samples:
        if count is None and drawn:
            yield ("samples", split), f"'all' is for prepared datasets, but '{drawn[0]}' is drawn: expected a number"
        if count is not None and count < batch:
            yield ("samples", split), f"{count} samples are fewer than a batch of {batch}"
    for kind, losses in profile.losses.items():
        for position, loss in enumerate(losses):
            where = ("losses", kind, position)
            if loss in losses[:position]:
                yield where, f"loss '{loss}' is listed twice"
            yield from _unfit_loss(loss, profile.students, kind, where)


def _unfit_loss(loss: str, students: tuple[str, ...], kind: str, where: tuple) -> Iterator[Fault]:
    """Whether a loss is known, and fits the data and these students; one fault is enough."""
    if loss not in registry.names("loss"):
        yield where, f"unknown loss {shown(loss)}, {registry.nearest(loss, registry.names('loss'))}"
        return
    known = (student for student in students if student in registry.names("student"))
    yield from [(where, reason) for student in known if (reason := unfit(loss, student, kind))][:1]


def _unknown(kind: str, name: str, where: tuple) -> Iterator[Fault]:
    known = registry.names(kind)
    if name not in known:
        yield where, f"unknown {kind} {shown(name)}, {registry.nearest(name, known)}"


def _unfit_teacher(dataset: str, teacher: str, weights: str, where: tuple) -> Iterator[Fault]:
    """Whether a teacher is for data of this kind, and has pocket weights where they are asked for."""
    needs, has = registry.constant("teacher", teacher, "KIND"), registry.constant("dataset", dataset, "KIND")
    if needs != has:
        fitting = [name for name in registry.names("dataset") if registry.constant("dataset", name, "KIND") == needs]
        yield (
            where,
            f"teacher '{teacher}' needs a dataset of kind {needs}, but '{dataset}' is of kind {has}; "
            f"datasets that fit: {', '.join(fitting)}",
        )
    elif weights == "pocket" and not registry.has_pocket_weights(teacher, dataset):
        others = ", ".join(registry.teachers_for(dataset, "pocket")) or "none"
        yield where, f"teacher '{teacher}' has no pocket weights for '{dataset}'; teachers that have: {others}"


def unfit(loss: str, student: str, kind: str) -> str | None:
    """Why a loss cannot train a student on data of this kind; None where it can."""
    needs = registry.constant("loss", loss, "NEEDS")
    if needs in ("captions", "classification") and kind != needs:
        what = "captions" if needs == "captions" else "labels"
        return f"loss '{loss}' needs {what}, expected a loss for {kind}"
    if needs == "attention" and not registry.constant("student", student, "ATTENTION", False):
        return f"loss '{loss}' needs a student with an attention map, which '{student}' does not have"
    return None
