"""matrix.yaml to validated, frozen cases, with ids, fingerprints and errors that name file:line:column.

Nothing here imports torch: a plan must appear in about a second.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator

from bench import catalog
from bench.case import Case
from bench.located import LocatedError, LocatedYaml
from bench.metrics import METRICS

DEFAULT = catalog.ROOT / "matrix.yaml"
LOSSES = catalog.read_constant(catalog.ROOT / "bench" / "losses.py", "NAMES")
KINDS = ("classification", "captions")


def _no_truth(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("expected a number")
    return value


# YAML says what it means: no "5" or true for 5.
Count = Annotated[int, Field(strict=True, gt=0)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False), BeforeValidator(_no_truth)]
Rate = Annotated[float, Field(gt=0, allow_inf_nan=False), BeforeValidator(_no_truth)]


class MatrixError(LocatedError):
    """matrix.yaml cannot be used; the message says where and what was expected."""


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _distinct(values: tuple) -> tuple:
    repeated = [value for index, value in enumerate(values) if value in values[:index]]
    if repeated:
        raise ValueError(f"{repeated[0]!r} is listed twice")
    return values


class Samples(Strict):
    """How many images of each split are used."""

    train: Count
    test: Count


class Widths(Strict):
    """The students' widths, and whether the CNN trunks are of full or pocket size."""

    embedding: Count
    bottleneck: Count
    trunk: Literal["full", "pocket"]


class Profile(Strict):
    """One named matrix."""

    weights: Literal["pocket", "pretrained", "random"]
    pairs: dict[str, Annotated[tuple[str, ...], Field(min_length=1)]] = Field(min_length=1)
    students: tuple[str, ...] = Field(min_length=1)
    epochs: tuple[Count, ...] = Field(min_length=1)
    seeds: tuple[Annotated[int, Field(strict=True, ge=0)], ...] = Field(min_length=1)
    samples: Samples
    widths: Widths

    @field_validator("pairs", mode="before")
    @classmethod
    def _all_teachers(cls, pairs: object) -> object:
        """``all`` stands for every teacher of the dataset's kind."""
        if not isinstance(pairs, dict):
            return pairs
        known = catalog.names("dataset")  # of an unknown dataset more is said later
        return {
            key: (catalog.teachers_for(key) if key in known else ("all",)) if value == "all" else value
            for key, value in pairs.items()
        }

    @field_validator("students", mode="before")
    @classmethod
    def _all_students(cls, students: object) -> object:
        """``all`` stands for every student, the paper's first and in its order."""
        return catalog.names("student") if students == "all" else students

    @field_validator("students", "epochs", "seeds")
    @classmethod
    def _no_repeats(cls, values: tuple) -> tuple:
        return _distinct(values)


class Training(Strict):
    """How every student is trained."""

    batch_size: Annotated[int, Field(strict=True, ge=2)]
    learning_rate: Rate
    weight_decay: NonNegative
    warmup_steps: Annotated[int, Field(strict=True, ge=0)]


class Override(Strict):
    """What one student does otherwise."""

    batch_size: Annotated[int, Field(strict=True, ge=2)] | None = None
    learning_rate: Rate | None = None
    weight_decay: NonNegative | None = None
    warmup_steps: Annotated[int, Field(strict=True, ge=0)] | None = None
    loss: dict[Literal["classification", "captions"], str] = {}


class Matrix(Strict):
    """All of matrix.yaml."""

    profiles: dict[str, Profile] = Field(min_length=1)
    training: Training
    overrides: dict[str, Override] = {}
    tolerances: dict[str, NonNegative] = {}


def load(path: Path = DEFAULT) -> Matrix:
    """Read and validate a matrix. Raises :class:`MatrixError` with ``file:line:column`` for each fault."""
    try:
        file = LocatedYaml(path)
        matrix = Matrix.model_validate(file.data)
    except ValidationError as error:
        raise MatrixError("\n".join(_explain(fault, file) for fault in _root_causes(error.errors()))) from None
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
    changed = override.model_dump(exclude={"loss"}, exclude_none=True)
    return Case(
        dataset=dataset,
        teacher=teacher,
        student=student,
        epochs=epochs,
        seed=seed,
        weights=profile.weights,
        train_samples=profile.samples.train,
        test_samples=profile.samples.test,
        **profile.widths.model_dump(),
        loss=_loss(override, student, catalog.constant("dataset", dataset, "KIND")),
        **(matrix.training.model_dump() | changed),
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
        sizes = [matrix.training.batch_size, *(o.batch_size for o in matrix.overrides.values() if o.batch_size)]
        for split, count in profile.samples:
            if count < max(sizes):
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


def _root_causes(faults: list[dict]) -> list[dict]:
    """The faults without those that only say that a list with faulty items is too short."""
    places = [fault["loc"] for fault in faults]

    def follows(fault: dict) -> bool:
        here = fault["loc"]
        return fault["type"] == "too_short" and any(p[: len(here)] == here and len(p) > len(here) for p in places)

    return [fault for fault in faults if not follows(fault)]


def _explain(fault: dict, file: LocatedYaml) -> str:
    """One pydantic fault as ``file:line:column: what, where``."""
    where = tuple(part for part in fault["loc"] if part != "[key]")
    if fault["type"] == "extra_forbidden":
        known = tuple(_fields_at(where[:-1]))
        return f"{file.place_of_key(where)}: unknown key '{where[-1]}', {catalog.nearest(str(where[-1]), known)}"
    if fault["type"] == "missing":
        return f"{file.place(where[:-1])}: missing key '{where[-1]}'"
    message = fault["msg"].removeprefix("Value error, ")
    if fault["type"] == "tuple_type":
        message = "expected a list" + (", or 'all'" if {"pairs", "students"} & set(where) else "")
    elif fault["type"] == "literal_error":
        message += f"; {catalog.nearest(str(fault['input']), _choices(fault))}"
    return f"{file.place(where)}: {'.'.join(map(str, where))}: {message}, got {fault['input']!r}"


def _choices(fault: dict) -> tuple[str, ...]:
    """What a literal may be, from pydantic's ``'a', 'b' or 'c'``."""
    return tuple(part.strip(" '") for part in fault["ctx"]["expected"].replace(" or ", ",").split(","))


def _fields_at(where: tuple) -> Iterator[str]:
    """Names of the keys that are allowed at a place of the file."""
    model: type[BaseModel] = Matrix
    models = {"profiles": Profile, "overrides": Override, "training": Training}
    if where:
        model = models.get(where[0], Matrix)
        model = {"samples": Samples, "widths": Widths}.get(where[-1], model)
        if where[-1] == "loss":
            yield from KINDS
            return
    yield from model.model_fields
