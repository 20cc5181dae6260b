"""matrix.yaml to validated, frozen cases, with ids, fingerprints and errors that name file:line:column.

Nothing here imports torch: a plan must appear in about a second.
"""

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import fields, replace
from itertools import product
from pathlib import Path
from typing import Any

from bench import registry
from bench.controls import CONTROLS, MEASURED, NAMES, TRAINED
from bench.declared import OneTeacher
from bench.kit.errors import LocatedError, UserError, nearest, shown
from bench.kit.located_yaml import LocatedYaml
from bench.kit.paths import ROOT
from bench.plan.case import Case
from bench.plan.entries import TeacherEntry
from bench.plan.fits import unfit, unfit_controls, unfit_to_mix
from bench.plan.schema import SEEDS, Matrix, Override, Profile, Training

DEFAULT = ROOT / "matrix.yaml"
DISTILL = "distill"  # the profile of the command of that name
# What a model of a library is trained with as a student: of real images a CNN learnt more by the queue, docs/results.md.
LIBRARY_LOSS = {"classification": "queue-matching", "captions": "combined", "images": "queue-matching"}


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

    ``seeds`` and ``controls`` take the place of the profile's own. Trained controls are cases of their own, those of the
    profile of the students that it names.
    """
    if profile not in matrix.profiles:
        raise LocatedError(f"{path.name}: unknown profile '{profile}', {nearest(profile, matrix.profiles)}")
    chosen = _with(matrix.profiles[profile], seeds, controls)
    if reason := unfit_controls(chosen.weights, chosen.controls):
        raise LocatedError(f"profile '{profile}': {reason}")
    for where, fault in _absent(matrix, chosen):
        raise LocatedError(f"{LocatedYaml(path).place(where)}: {'.'.join(where)}: {fault}")
    # Of several losses a control may leave but one case.
    planned = tuple(dict.fromkeys(_planned(matrix, chosen, matrix.profiles[profile].seeds)))
    for where, fault in _unfit(profile, chosen, planned):
        raise LocatedError(f"{LocatedYaml(path).place(where)}: {fault}")
    return planned


def elsewhere(matrix: Matrix, name: str) -> str | None:
    """Where the case of this id is, in words: the first profile that has it, with its own seeds; None where none does.

    A profile whose images are not there has none.
    """
    for profile, of in matrix.profiles.items():
        with suppress(UserError):
            if any(case.id == name for case in _planned(matrix, of, of.seeds)):
                return f"{name} is a case of profile '{profile}': add --profile {profile}"
    return None


def _with(profile: Profile, seeds: tuple[int, ...] | None, controls: tuple[str, ...] | None) -> Profile:
    """The profile with what ``--seeds`` and ``--controls`` put in place of its own."""
    changes: dict[str, Any] = {"seeds": seeds} if seeds else {}
    if controls is not None:
        if controls == NAMES and profile.weights == "random":  # --controls all
            controls = tuple(name for name in NAMES if not CONTROLS[name].random_teacher)
        changes |= {"controls": controls, "trained_controls_of": None}
    return profile.model_copy(update=changes)


def _planned(matrix: Matrix, profile: Profile, own_seeds: tuple[int, ...]) -> Iterator[Case]:
    trained = [name for name in TRAINED if name in profile.controls]
    random = [name for name in trained if CONTROLS[name].random_teacher]
    of = profile.trained_controls_of
    for dataset, teachers in profile.pairs.items():
        # A random teacher has features of its own, so its cases come together.
        for teacher, group in product(teachers, ([None, *(name for name in trained if name not in random)], random)):
            for student, (recipe, training) in product(
                profile.students, (profile.recipes or {None: Training()}).items()
            ):
                base = replace(_base(matrix, profile, dataset, teacher, student, training), recipe=recipe)
                losses = _losses(matrix, profile, base)
                for seed, control in product(profile.seeds, group):
                    if control and (base.kind not in CONTROLS[control].kinds or (of is not None and student not in of)):
                        continue
                    for loss, epochs in product(losses, sorted(profile.epochs)):
                        yield _case(base, own_seeds, epochs, seed, loss, control, several=len(losses) > 1)


def _absent(matrix: Matrix, profile: Profile) -> Iterator[tuple[tuple[str, ...], str]]:
    """What a profile names that does not exist, each with its keys in the matrix: a file of weights, a library's model, or
    one of that input size.

    Only a profile that names models of a library has to wait for it, and for torch.
    """
    declared = {name: matrix.teachers[name] for name in _teachers(profile) if name in matrix.teachers}
    paths = {
        name: Path(entry.path) for name, entry in declared.items() if entry.path and profile.weights == "pretrained"
    }
    for name, place in paths.items():
        if not place.exists():
            yield ("teachers", name, "path"), f"there is no {place}"
    sides = [side for dataset in profile.pairs if (side := _side(matrix, dataset))]
    for name in (name for name in profile.students if name in matrix.students):
        from students.libraries import timm

        for model in dict.fromkeys(matrix.students[name].model.at(side) for side in sides):
            if fault := timm.unfit(model):
                key, reason = fault
                yield ("students", name, key), reason
    for name, model in ((name, entry.model) for name, entry in declared.items() if entry.model):
        from teachers.libraries import UnfitError, describe

        try:
            describe(model, paths.get(name))
        except UnfitError as error:
            yield ("teachers", name, error.key), str(error)


def _unfit(name: str, profile: Profile, planned: tuple[Case, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    """What of the cases of the profile called ``name`` does not fit together, each with its keys in the matrix."""
    of_profile, kinds = ("profiles", name), {case.kind for case in planned}
    if strange := [kind for kind in profile.losses if kind not in kinds]:
        where = *of_profile, "losses", strange[0]
        text = f"{'.'.join(where)}: no pair of the profile has such data, but {' and '.join(sorted(kinds))}"
        yield where, text + (" (a teacher that reads no text sees images alone)" if strange[0] == "captions" else "")
    for case in planned:
        for one in case.alone:
            if one.teacher_model and (reason := _unread(one)):
                yield ("teachers", one.teacher), f"teachers.{one.teacher}: {reason}"
        if reason := unfit_to_mix(case):
            yield (*of_profile, "recipes", case.recipe or "", "mixup"), f"{case.id}: {reason}"
        if case.several and (shared := {"attention", "tokens"}.intersection(case.targets)):
            text = f"loss '{case.loss}' compares {shared.pop()}, which '{case.teacher}' do not have in common: give"
            yield (*of_profile, "pairs", case.dataset), f"{text} '{case.student}' another loss, or one teacher"


def _teachers(profile: Profile) -> list[str]:
    """Each teacher that a profile names, alone or beside others."""
    return [
        *dict.fromkeys(name for names in profile.pairs.values() for several in names for name in several.split("+"))
    ]


def _unread(case: Case) -> str | None:
    """What a case's student or loss needs of a library's teacher that it does not have; None where it has all."""
    from teachers.libraries import describe

    facts = describe(case.teacher_model, Path(case.checkpoint) if case.checkpoint else None)
    if "tokens" in (case.reads, *case.targets) and not facts.has_tokens:
        name = case.teacher_model.name
        why = (
            "has no square grid of patches" if facts.layout is None else "has patches of another width than its feature"
        )
        if case.reads != "tokens":
            return f"{name} {why}, which loss '{case.loss}' reads: leave that loss out"
        fit = [one for one in registry.names("student") if registry.constant("student", one, "READS") != "tokens"]
        return f"{name} {why}, which student '{case.student}' reads: take {', '.join(fit)} or a model of timm instead"
    if "attention" in case.targets and facts.attention == "none":
        return f"{case.teacher_model.name} has no attention to patches, which loss '{case.loss}' needs: leave that loss out"
    return None


def _side(matrix: Matrix, dataset: str) -> int | None:
    """The side of a dataset's pixels; None where its file does not state one."""
    own = matrix.datasets.get(dataset)
    return own.size if own else registry.constant("dataset", dataset, "SIDE", None)


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


def _base(matrix: Matrix, profile: Profile, dataset: str, teacher: str, student: str, recipe: Training) -> Case:
    """What the cases of a dataset, a teacher, a student and a recipe have in common."""
    # What a profile and a case call by the same name is passed on by name; the axes then take the place of their lists.
    named = {field.name for field in fields(Case)}
    options = {name: value for part in (profile, profile.widths) for name, value in part if name in named}
    for training in (matrix.training, profile.training, matrix.overrides.get(student, Override()), recipe):
        options |= training.model_dump(exclude={"loss"}, exclude_none=True)
    sources = [_source(matrix, name, profile.weights == "pretrained") for name in teacher.split("+")]
    source = sources[0] if len(sources) == 1 else OneTeacher(teacher)
    own_student, own_images = matrix.students.get(student), matrix.datasets.get(dataset)
    options |= {
        # In one order, whichever YAML lists them in: it is part of the fingerprint.
        "controls": tuple(name for name in MEASURED if name in profile.controls),
        "checkpoint": source.checkpoint,
        "revision": source.revision,
        "teacher_model": source.model,
        "several": tuple(sources) if len(sources) > 1 else (),
        "student_model": own_student and own_student.model,
        "images": own_images and own_images.declared,
        "train_samples": profile.samples.train,
        "test_samples": profile.samples.test,
    }
    axes = {"dataset": dataset, "teacher": teacher, "student": student, "epochs": 0, "seed": 0, "loss": ""}
    return Case(**options | axes)


def _source(matrix: Matrix, name: str, pretrained: bool) -> OneTeacher:
    entry = matrix.teachers.get(name, TeacherEntry())
    return OneTeacher(name, *((entry.path, entry.revision) if pretrained else (None, None)), entry.model)


def _case(base: Case, own_seeds, epochs: int, seed: int, loss: str, control: str | None, several: bool) -> Case:
    axes = {"epochs": epochs, "seed": seed, "loss": loss, "control": control}
    case = replace(base, **axes, names_seed=(seed,) != own_seeds, several_losses=several)
    return CONTROLS[control].trained(replace(case, controls=())) if control else case


def _losses(matrix: Matrix, profile: Profile, base: Case) -> tuple[str, ...]:
    """The losses that a student is trained with: the profile's, the override's, or the student's."""
    if base.kind in profile.losses:
        return profile.losses[base.kind]
    if loss := matrix.overrides.get(base.student, Override()).loss.get(base.kind):
        return (loss,)
    return (LIBRARY_LOSS[base.kind] if base.student_model else _own_loss(base.student, base.kind),)


def _own_loss(student: str, kind: str) -> str:
    """The loss that the student's file names, which is checked here. Images alone are matched as those with labels are."""
    kind = "classification" if kind == "images" else kind
    file, losses = registry.path("student", student).name, registry.constant("student", student, "LOSS")
    if not isinstance(losses, dict) or kind not in losses:
        raise LocatedError(f"{file}: LOSS has no loss for {kind}; expected a dict with classification and captions")
    loss = losses[kind]
    if loss not in (known := registry.names("loss")):
        raise LocatedError(f"{file}: unknown loss {shown(loss)}, {nearest(str(loss), known)}")
    if reason := unfit(loss, student, kind):
        raise LocatedError(f"{file}: {reason}")
    return loss
