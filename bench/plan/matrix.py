"""matrix.yaml to validated, frozen cases, with ids, fingerprints and errors that name file:line:column.

Nothing here imports torch: a plan must appear in about a second.
"""

from pathlib import Path

from pydantic import ValidationError

from bench import registry
from bench.controls import CONTROLS, MEASURED, NAMES, TRAINED
from bench.kit.errors import LocatedError, shown
from bench.kit.located_yaml import LocatedYaml
from bench.kit.paths import ROOT
from bench.plan.case import Case
from bench.plan.faults import unfit, unfit_values, unknown_keys
from bench.plan.schema import KINDS, SEEDS, Checkpoint, Matrix, Override, Profile, explain, fault_of_controls

DEFAULT = ROOT / "matrix.yaml"


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
    faults = [f"{file.place(where)}: {message}" for where, message in unfit_values(matrix)]
    faults += [f"{file.place_of_key(where)}: {message}" for where, message in unknown_keys(matrix)]
    if faults:
        raise MatrixError("\n".join(faults))
    return matrix


def cases(
    matrix: Matrix,
    profile: str,
    path: Path = DEFAULT,
    seeds: tuple[int, ...] | None = None,
    controls: tuple[str, ...] | None = None,
) -> tuple[Case, ...]:
    """All cases of a profile, those that share features and training runs next to each other.

    ``seeds`` and ``controls`` take the place of the profile's own. Trained controls are cases of their own.
    """
    if profile not in matrix.profiles:
        known = tuple(matrix.profiles)
        raise MatrixError(f"{path.name}: unknown profile '{profile}', {registry.nearest(profile, known)}")
    chosen = matrix.profiles[profile]
    controls = chosen.controls if controls is None else controls
    chosen = chosen.model_copy(update={"seeds": seeds or chosen.seeds, "controls": controls})
    if fault := fault_of_controls(chosen.weights, controls):
        raise MatrixError(f"profile '{profile}': {fault}")
    # A random teacher has features of its own, so its cases come together.
    trained = [CONTROLS[name] for name in TRAINED if name in controls]
    together = [
        (None, *(row.name for row in trained if not row.random_teacher)),
        tuple(row.name for row in trained if row.random_teacher),
    ]
    several = (
        _case(matrix, chosen, dataset, teacher, student, epochs, seed, loss, control)
        for dataset, teachers in chosen.pairs.items()
        for teacher in teachers
        for group in together
        for student in chosen.students
        for seed in chosen.seeds
        for control in group
        for loss in _losses(matrix, chosen, student, dataset)
        for epochs in sorted(chosen.epochs)
    )
    # Of several losses a control may leave but one case.
    return tuple(dict.fromkeys(several))


def chosen(seeds: str | None, controls: str | None) -> tuple[tuple[int, ...] | None, tuple[str, ...] | None]:
    """What ``--seeds`` (like ``0,1,2``) and ``--controls`` (``all``, ``none`` or a list) say; None where nothing is said.

    Raises :class:`MatrixError`.
    """
    return None if seeds is None else _seeds(seeds), None if controls is None else _controls(controls)


def _seeds(text: str) -> tuple[int, ...]:
    parts = text.split(",")
    # Before they are read as numbers: Python refuses those of thousands of digits.
    plain = all(part.isascii() and part.isdigit() and len(part) <= len(str(SEEDS)) for part in parts)
    seeds = tuple(map(int, parts)) if plain else ()
    if not seeds or len(set(seeds)) < len(seeds) or max(seeds) >= SEEDS:
        raise MatrixError(
            f"--seeds {shown(text)}: expected different whole numbers below {SEEDS} with commas between, like 0,1,2"
        )
    return seeds


def _controls(text: str) -> tuple[str, ...]:
    if text in ("all", "none"):
        return NAMES if text == "all" else ()
    for part in text.split(","):
        if part not in NAMES:
            raise MatrixError(
                f"--controls {shown(text)}: unknown control {shown(part)}, {registry.nearest(part, NAMES)}"
            )
    return tuple(control for control in NAMES if control in text.split(","))


def _case(matrix: Matrix, profile: Profile, dataset, teacher, student, epochs, seed, loss, control) -> Case:
    override = matrix.overrides.get(student, Override())
    checkpoint = matrix.teachers.get(teacher, Checkpoint()) if profile.weights == "pretrained" else Checkpoint()
    training: dict = {}
    for part in (matrix.training, profile.training, override):
        training |= part.model_dump(exclude={"loss"}, exclude_none=True)
    losses = profile.losses.get(registry.constant("dataset", dataset, "KIND"), ())
    # In one order, whichever YAML lists them in: it is part of the fingerprint.
    measured = tuple(name for name in MEASURED if name in profile.controls)
    case = Case(
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
        loss=loss,
        **training,
        features=profile.features,
        controls=() if control else measured,
        control=control,
        several_seeds=len(profile.seeds) > 1,
        several_losses=len(losses) > 1,
    )
    return CONTROLS[control].trained(case) if control else case


def _losses(matrix: Matrix, profile: Profile, student: str, dataset: str) -> tuple[str, ...]:
    """The losses that a student is trained with: the profile's, the override's, or the student's."""
    kind = registry.constant("dataset", dataset, "KIND")
    if kind in profile.losses:
        return profile.losses[kind]
    return (_loss(matrix.overrides.get(student, Override()), student, kind),)


def _loss(override: Override, student: str, kind: str) -> str:
    """The loss from matrix.yaml, else the student's own, which is checked here."""
    if kind in override.loss:
        return override.loss[kind]
    file, losses = registry.path("student", student).name, registry.constant("student", student, "LOSS")
    if not isinstance(losses, dict) or kind not in losses:
        raise MatrixError(f"{file}: LOSS has no loss for {kind}; expected a dict with {' and '.join(KINDS)}")
    if losses[kind] not in (known := registry.names("loss")):
        raise MatrixError(f"{file}: unknown loss '{losses[kind]}', {registry.nearest(str(losses[kind]), known)}")
    if reason := unfit(losses[kind], student, kind):
        raise MatrixError(f"{file}: {reason}")
    return losses[kind]
