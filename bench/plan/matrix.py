"""matrix.yaml to validated, frozen cases, with ids, fingerprints and errors that name file:line:column.

Nothing here imports torch: a plan must appear in about a second.
"""

import re
from dataclasses import fields
from pathlib import Path
from typing import get_args

from bench import registry
from bench.controls import CONTROLS, MEASURED, NAMES, TRAINED
from bench.kit.errors import LocatedError, nearest, shown
from bench.kit.located_yaml import LocatedYaml
from bench.kit.paths import ROOT
from bench.plan.case import Case
from bench.plan.schema import SEEDS, Checkpoint, Kind, Matrix, Override, Profile, unfit, unfit_controls

DEFAULT = ROOT / "matrix.yaml"


def load(path: Path = DEFAULT) -> Matrix:
    """Read and validate a matrix. Raises :class:`LocatedError` with ``file:line:column`` for each fault."""
    return LocatedYaml(path).read(Matrix)


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
        raise LocatedError(f"{path.name}: unknown profile '{profile}', {nearest(profile, known)}")
    chosen = matrix.profiles[profile]
    own_seeds = chosen.seeds
    controls = chosen.controls if controls is None else controls
    chosen = chosen.model_copy(update={"seeds": seeds or chosen.seeds, "controls": controls})
    if reason := unfit_controls(chosen.weights, controls):
        raise LocatedError(f"profile '{profile}': {reason}")
    if chosen.weights == "pretrained":
        _require_checkpoints(matrix, chosen, path)
    # A random teacher has features of its own, so its cases come together.
    trained = [name for name in TRAINED if name in controls]
    random = [name for name in trained if CONTROLS[name].random_teacher]
    together = [None, *(name for name in trained if name not in random)], random
    several = (
        _case(matrix, chosen, own_seeds, dataset, teacher, student, epochs, seed, loss, control)
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


def _require_checkpoints(matrix: Matrix, profile: Profile, path: Path) -> None:
    """Raise :class:`LocatedError` where a teacher's weights are said to lie where nothing is."""
    for teacher in {name for names in profile.pairs.values() for name in names}:
        place = matrix.teachers.get(teacher, Checkpoint()).path
        if place and not Path(place).exists():
            raise LocatedError(f"{path.name}: teachers.{teacher}.path: there is no {place}")


def chosen(seeds: str | None, controls: str | None) -> tuple[tuple[int, ...] | None, tuple[str, ...] | None]:
    """What ``--seeds`` (like ``0,1,2``) and ``--controls`` (``all``, ``none`` or a list) say; None where nothing is said.

    Raises :class:`LocatedError`.
    """
    return None if seeds is None else _seeds(seeds), None if controls is None else _controls(controls)


def _seeds(text: str) -> tuple[int, ...]:
    # Python refuses to read numbers of thousands of digits.
    plain = re.fullmatch(r"[0-9]{1,13}(,[0-9]{1,13})*", text)
    seeds = tuple(map(int, text.split(","))) if plain else ()
    if not seeds or len(set(seeds)) < len(seeds) or max(seeds) >= SEEDS:
        raise LocatedError(
            f"--seeds {shown(text)}: expected different whole numbers below {SEEDS} with commas between, like 0,1,2"
        )
    return seeds


def _controls(text: str) -> tuple[str, ...]:
    if text in ("all", "none"):
        return NAMES if text == "all" else ()
    for part in text.split(","):
        if part not in NAMES:
            raise LocatedError(f"--controls {shown(text)}: unknown control {shown(part)}, {nearest(part, NAMES)}")
    return tuple(control for control in NAMES if control in text.split(","))


def _case(matrix: Matrix, profile: Profile, own_seeds, dataset, teacher, student, epochs, seed, loss, control) -> Case:
    # What a profile and a case call by the same name is passed on by name; the axes then take the place of their lists.
    named = {field.name for field in fields(Case)}
    options = {name: value for part in (profile, profile.widths) for name, value in part if name in named}
    for training in (matrix.training, profile.training, matrix.overrides.get(student, Override())):
        options |= training.model_dump(exclude={"loss"}, exclude_none=True)
    checkpoint = matrix.teachers.get(teacher, Checkpoint()) if profile.weights == "pretrained" else Checkpoint()
    options |= {
        # In one order, whichever YAML lists them in: it is part of the fingerprint.
        "controls": () if control else tuple(name for name in MEASURED if name in profile.controls),
        "checkpoint": checkpoint.path,
        "revision": checkpoint.revision,
        "train_samples": profile.samples.train,
        "test_samples": profile.samples.test,
        "names_seed": (seed,) != own_seeds,
        "several_losses": len(profile.losses.get(registry.constant("dataset", dataset, "KIND"), ())) > 1,
    }
    axes = {"dataset": dataset, "teacher": teacher, "student": student, "epochs": epochs, "seed": seed, "loss": loss}
    case = Case(**options | axes, control=control)
    return CONTROLS[control].trained(case) if control else case


def _losses(matrix: Matrix, profile: Profile, student: str, dataset: str) -> tuple[str, ...]:
    """The losses that a student is trained with: the profile's, the override's, or the student's."""
    kind = registry.constant("dataset", dataset, "KIND")
    if kind in profile.losses:
        return profile.losses[kind]
    return (matrix.overrides.get(student, Override()).loss.get(kind) or _own_loss(student, kind),)


def _own_loss(student: str, kind: str) -> str:
    """The loss that the student's file names, which is checked here."""
    file, losses = registry.path("student", student).name, registry.constant("student", student, "LOSS")
    if not isinstance(losses, dict) or kind not in losses:
        raise LocatedError(f"{file}: LOSS has no loss for {kind}; expected a dict with {' and '.join(get_args(Kind))}")
    loss = losses[kind]
    if loss not in (known := registry.names("loss")):
        raise LocatedError(f"{file}: unknown loss {shown(loss)}, {nearest(str(loss), known)}")
    if reason := unfit(loss, student, kind):
        raise LocatedError(f"{file}: {reason}")
    return loss
