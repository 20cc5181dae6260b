"""The schema of matrix.yaml, validated with pydantic, and its faults in words that name file:line:column."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from bench import registry
from bench.controls import CONTROLS, NAMES
from bench.kit.errors import shown
from bench.kit.located_yaml import LocatedYaml

KINDS = ("classification", "captions")


def _no_truth(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("expected a number")
    return value


SEEDS = 2**40  # a seed is below; what is drawn with one multiplies it by a million and must stay within 64 bits

# YAML says what it means: no "5" or true for 5. The bounds are beyond any use: they stop a slip of the keyboard before it
# stops every case.
Count = Annotated[int, Field(strict=True, gt=0, le=10**9)]
Width = Annotated[int, Field(strict=True, gt=0, le=2**16)]
Epochs = Annotated[int, Field(strict=True, gt=0, le=10**6)]
Seed = Annotated[int, Field(strict=True, ge=0, lt=SEEDS)]
BatchSize = Annotated[int, Field(strict=True, ge=2, le=2**20)]
Steps = Annotated[int, Field(strict=True, ge=0, le=10**9)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False), BeforeValidator(_no_truth)]
Rate = Annotated[float, Field(gt=0, allow_inf_nan=False), BeforeValidator(_no_truth)]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def fault_of_controls(weights: str, controls: tuple[str, ...]) -> str:
    """Why these controls make no sense for teachers with these weights; empty where they do."""
    random = [name for name in controls if CONTROLS[name].random_teacher]
    return (
        f"the teachers are random already: leave out the control '{random[0]}'"
        if weights == "random" and random
        else ""
    )


def _distinct(values: tuple) -> tuple:
    repeated = [value for index, value in enumerate(values) if value in values[:index]]
    if repeated:
        raise ValueError(f"{repeated[0]!r} is listed twice")
    return values


class Samples(Strict):
    """How many images of each split are used at most; "all" is None here."""

    train: Count | None
    test: Count | None

    @field_validator("train", "test", mode="before")
    @classmethod
    def _all(cls, count: object) -> object:
        if count is None:
            raise ValueError("expected a number or 'all'")
        return None if count == "all" else count


class Widths(Strict):
    """The students' widths, and whether the CNN trunks are of full or pocket size."""

    embedding: Width
    bottleneck: Width
    trunk: Literal["full", "pocket"]


class Profile(Strict):
    """One named matrix."""

    weights: Literal["pocket", "pretrained", "random"]
    pairs: dict[str, Annotated[tuple[str, ...], Field(min_length=1)]] = Field(min_length=1)
    students: tuple[str, ...] = Field(min_length=1)
    epochs: tuple[Epochs, ...] = Field(min_length=1)
    seeds: tuple[Seed, ...] = Field(min_length=1)
    samples: Samples
    widths: Widths
    features: Literal["float16", "float32"] = "float16"
    controls: tuple[Literal[NAMES], ...] = ()
    losses: dict[Literal["classification", "captions"], Annotated[tuple[str, ...], Field(min_length=1)]] = {}
    training: "Override" = Field(default_factory=lambda: Override())

    @field_validator("pairs", mode="before")
    @classmethod
    def _all_teachers(cls, pairs: object, given: ValidationInfo) -> object:
        """``all`` stands for every teacher of the dataset's kind, of a pocket profile for those with pocket weights."""
        if not isinstance(pairs, dict):
            return pairs
        known = registry.names("dataset")  # of an unknown dataset more is said later
        weights = given.data.get("weights")
        found = dict(pairs)
        for dataset in (key for key, value in pairs.items() if value == "all"):
            found[dataset] = registry.teachers_for(dataset, weights) if dataset in known else ("all",)
            if not found[dataset]:
                raise ValueError(f"no teacher has {weights} weights for '{dataset}', which 'all' could stand for")
        return found

    @field_validator("students", mode="before")
    @classmethod
    def _all_students(cls, students: object) -> object:
        """``all`` stands for every student, the paper's first and in its order."""
        return registry.names("student") if students == "all" else students

    @field_validator("controls", mode="before")
    @classmethod
    def _all_controls(cls, controls: object) -> object:
        """``all`` stands for every control."""
        return NAMES if controls == "all" else controls

    @field_validator("students", "epochs", "seeds", "controls")
    @classmethod
    def _no_repeats(cls, values: tuple) -> tuple:
        return _distinct(values)

    @model_validator(mode="after")
    def _random_once(self) -> "Profile":
        if fault := fault_of_controls(self.weights, self.controls):
            raise ValueError(fault)
        return self


class Training(Strict):
    """How every student is trained."""

    batch_size: BatchSize
    learning_rate: Rate
    weight_decay: NonNegative
    warmup_steps: Steps


class Override(Strict):
    """What one profile, or one student, does otherwise."""

    batch_size: BatchSize | None = None
    learning_rate: Rate | None = None
    weight_decay: NonNegative | None = None
    warmup_steps: Steps | None = None
    loss: dict[Literal["classification", "captions"], str] = {}


class Checkpoint(Strict):
    """Where a pretrained teacher comes from, if not from where it is published."""

    path: Annotated[str, Field(min_length=1)] | None = None
    revision: Annotated[str, Field(min_length=1)] | None = None

    @field_validator("path")
    @classmethod
    def _written_out(cls, path: str | None) -> str | None:
        """With ``~`` replaced here, so that what is loaded is also what the fingerprint is taken of."""
        try:
            return path and str(Path(path).expanduser())
        except RuntimeError:
            raise ValueError("there is no such user's home folder") from None

    @model_validator(mode="after")
    def _one(self) -> "Checkpoint":
        if self.path and self.revision:
            raise ValueError("expected a path or a revision, not both")
        return self


class Tolerance(Strict):
    """By how much a metric may get worse: absolute, relative to the baseline's value, or deviations over its seeds.

    A plain number is an absolute one. ``at_least`` is a floor, in the metric's unit; it also stands where the baseline
    has fewer than two seeds, and so no deviation.
    """

    absolute: NonNegative | None = None
    relative: NonNegative | None = None
    deviations: NonNegative | None = None
    at_least: NonNegative | None = None

    @model_validator(mode="before")
    @classmethod
    def _plain(cls, value: object) -> object:
        return value if isinstance(value, dict) else {"absolute": value}

    @model_validator(mode="after")
    def _one(self) -> "Tolerance":
        if [self.absolute, self.relative, self.deviations].count(None) != 2:
            raise ValueError("expected a number, or one of relative and deviations")
        if self.absolute is not None and self.at_least is not None:
            raise ValueError("at_least goes with relative or deviations; an absolute tolerance needs none")
        return self


class Matrix(Strict):
    """All of matrix.yaml."""

    # A profile's name is a folder's name under reports/.
    profiles: dict[Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")], Profile] = Field(min_length=1)
    training: Training
    teachers: dict[str, Checkpoint] = {}
    overrides: dict[str, Override] = {}
    tolerances: dict[str, Tolerance] = {}


def explain(faults: list[dict], file: LocatedYaml) -> str:
    """pydantic's faults, a line each: ``file:line:column: what``."""
    return "\n".join(_explain(fault, file) for fault in _root_causes(faults))


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
        return f"{file.place_of_key(where)}: unknown key '{where[-1]}', {registry.nearest(str(where[-1]), known)}"
    if fault["type"] == "missing":
        return f"{file.place(where[:-1])}: missing key '{where[-1]}'"
    message = fault["msg"].removeprefix("Value error, ")
    if fault["type"] == "tuple_type":
        message = "expected a list" + (", or 'all'" if {"pairs", "students", "controls"} & set(where) else "")
    elif fault["type"] == "literal_error":
        message += f"; {registry.nearest(str(fault['input']), _choices(fault))}"
    place = file.place_of_key(where) if "[key]" in fault["loc"] else file.place(where)
    return f"{place}: {'.'.join(map(str, where))}: {message}, got {shown(fault['input'])}"


def _choices(fault: dict) -> tuple[str, ...]:
    """What a literal may be, from pydantic's ``'a', 'b' or 'c'``."""
    return tuple(part.strip(" '") for part in fault["ctx"]["expected"].replace(" or ", ",").split(","))


def _fields_at(where: tuple) -> Iterator[str]:
    """Names of the keys that are allowed at a place of the file."""
    model: type[BaseModel] = Matrix
    models = {"profiles": Profile, "overrides": Override, "training": Training, "teachers": Checkpoint}
    models |= {"tolerances": Tolerance}
    if where:
        model = models.get(where[0], Matrix)
        if where[0] == "profiles":
            model = {"samples": Samples, "widths": Widths, "training": Override}.get(where[-1], model)
        if where[-1] in ("loss", "losses"):
            yield from KINDS
            return
    yield from model.model_fields
