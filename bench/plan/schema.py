"""The schema of matrix.yaml: pydantic models that check types, names, and what must fit together.

An option of a profile, or of how students are trained, that a :class:`bench.plan.case.Case` has under the same name
reaches it without a line of its own elsewhere.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import MISSING, fields
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    TypeAdapter,
    ValidationInfo,
    field_validator,
    model_validator,
)

from bench import registry
from bench.controls import NAMES
from bench.data.prepared import is_prepared_kind
from bench.declared import LIBRARIES
from bench.kit.errors import nearest, shown
from bench.kit.located_yaml import KEY, Fault, Strict, refuse
from bench.metrics import KINDS, METRICS
from bench.plan.case import Case
from bench.plan.entries import DatasetEntry, EntryName, StudentEntry, TeacherEntry, Width, number
from bench.plan.fits import lacks_pocket_weights, unfit, unfit_controls, unfit_for_several

MOST_VIEWS = 1000
SEEDS = 2**40  # a seed is below; what is drawn with one multiplies it by a million and must stay within 64 bits


def _unless(word: str) -> BeforeValidator:
    """``word`` in place of a number; the value is None then."""

    def number_or_word(count: object) -> object:
        if count is None:
            raise ValueError(f"expected a number or '{word}'")
        return None if count == word else count

    return BeforeValidator(number_or_word)


def _views(value: object) -> object:
    if value != "live" and not (type(value) is int and 0 < value <= MOST_VIEWS):
        raise ValueError(f"expected a number of views up to {MOST_VIEWS}, or 'live'")
    return value


def _once(values: tuple) -> tuple:
    refuse(((at,), f"{shown(value)} is listed twice") for at, value in enumerate(values) if value in values[:at])
    return values


def _named(kind: str, known: Callable[[], Iterable[str]]) -> Any:
    """A known name, or one that the matrix declares; the error says which is nearest."""

    def check(name: str, given: ValidationInfo) -> str:
        names = (*known(), *(given.context or {}).get(kind, ()))
        if name not in names:
            library, _, model = name.partition(":")
            entry = f"declare it under {kind}s:, like NAME: {{{library}: {model}}}"  # "timm:resnet18" is of distill's options
            refuse([((), f"unknown {kind} {shown(name)}, {entry if library in LIBRARIES else nearest(name, names)}")])
        return name

    return Annotated[str, AfterValidator(check)]


def _all(known: Callable[[], tuple[str, ...]]) -> BeforeValidator:
    """``all`` stands for all the known ones."""

    def expand(names: object) -> object:
        if names != "all" and not isinstance(names, list | tuple):
            raise ValueError("expected a list, or 'all'")
        return known() if names == "all" else names

    return BeforeValidator(expand)


def _several(item: Any) -> Any:
    return Annotated[tuple[item, ...], Field(min_length=1), AfterValidator(_once)]


# Strict: no "5" or true for 5. The bounds are beyond any use: they stop a slip of the keyboard before it stops every case.
Count = Annotated[int, Field(strict=True, gt=0, le=10**9)]
Epochs = Annotated[int, Field(strict=True, gt=0, le=10**6)]
Seed = Annotated[int, Field(strict=True, ge=0, lt=SEEDS)]
BatchSize = Annotated[int, Field(strict=True, ge=2, le=2**20)]
Steps = Annotated[int, Field(strict=True, ge=0, le=10**9)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False), BeforeValidator(number)]
Decay = Annotated[NonNegative, Field(le=1e30)]
Views = Annotated[int | Literal["live"], BeforeValidator(_views)]
Share = Annotated[float, Field(gt=0, lt=1), BeforeValidator(number)]
Rate = Annotated[float, Field(gt=0, le=1e30, allow_inf_nan=False), BeforeValidator(number)]
Limit = Annotated[Count | None, _unless("all")]
Threads = Annotated[Count | None, _unless("auto")]

Kind = Literal[KINDS]
Dataset, Teacher, Student, Loss = (
    _named(kind, partial(registry.names, kind)) for kind in ("dataset", "teacher", "student", "loss")
)
_TEACHER = TypeAdapter(Teacher)
Metric = _named("metric", lambda: METRICS)


def _side_by_side(names: object) -> object:
    """A list stands for several teachers of one student: their names, joined."""
    if not isinstance(names, list | tuple):
        return names
    if len(names) < 2 or not all(isinstance(name, str) for name in names):
        raise ValueError("expected the names of two teachers or more")
    return "+".join(_once(tuple(names)))


def _each(names: str, given: ValidationInfo) -> str:
    for name in names.split("+"):
        _TEACHER.validate_python(name, context=given.context)
    return names


Teachers = Annotated[str, BeforeValidator(_side_by_side), AfterValidator(_each)]
RecipeName = Annotated[str, Field(pattern=r"^[a-z]{2}[a-z0-9-]*$")]  # a part of ids, where s1 is a seed
ProfileName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]  # a folder's name under reports/


class Samples(Strict):
    """How many images of each split are used at most."""

    train: Limit
    test: Limit


class Widths(Strict):
    """The students' widths, and whether the CNN trunks are of full or pocket size."""

    embedding: Width
    bottleneck: Width
    trunk: Literal["full", "pocket"]


class Training(Strict):
    """How students are trained: all of them, or what a profile does otherwise."""

    batch_size: BatchSize | None = None
    learning_rate: Rate | None = None
    weight_decay: Decay | None = None
    warmup_steps: Steps | None = None
    schedule: Literal["constant", "cosine"] | None = None
    ema: Share | None = None
    views: Views | None = None
    mixup: Rate | None = None
    evaluate_every: Epochs | None = None


class Override(Training):
    """How one student is trained otherwise."""

    loss: dict[Kind, Loss] = Field({})


class Profile(Strict):
    """One named matrix."""

    weights: Literal["pocket", "pretrained", "random"]
    pairs: dict[Dataset, Annotated[_several(Teachers), _all(lambda: registry.names("teacher"))]] = Field(min_length=1)
    students: Annotated[_several(Student), _all(lambda: registry.shipped("student"))]
    epochs: _several(Epochs)
    seeds: _several(Seed)
    samples: Samples
    widths: Widths
    features: Literal["float16", "float32"] = "float16"
    geometry: Literal["published", "squash"] = "published"
    dedupe: Annotated[bool, Field(strict=True)] = False
    threads: Threads = None
    controls: Annotated[tuple[Literal[NAMES], ...], AfterValidator(_once), _all(lambda: NAMES)] = ()
    trained_controls_of: Annotated[_several(Student), _all(lambda: registry.shipped("student"))] | None = None
    losses: dict[Kind, _several(Loss)] = Field({})
    training: Training = Training()
    recipes: dict[RecipeName, Training] = Field({})

    @field_validator("pairs", mode="before")
    @classmethod
    def _all_teachers(cls, pairs: object, given: ValidationInfo) -> object:
        """``all`` stands for every teacher of the dataset's kind, of a pocket profile for those with pocket weights."""
        if not isinstance(pairs, dict):
            return pairs
        weights, known = given.data.get("weights"), registry.names("dataset")
        every = {name: registry.teachers_for(name, weights) for name in pairs if pairs[name] == "all" and name in known}
        lacking = f"no teacher has {weights} weights for '{{}}', which 'all' could stand for"
        refuse(((name,), lacking.format(name)) for name, teachers in every.items() if not teachers)
        return pairs | every

    def faults(self) -> Iterator[Fault]:
        for dataset, teachers in self.pairs.items():
            for position, teacher in enumerate(teachers):
                names = teacher.split("+")
                lacking = (lacks_pocket_weights(dataset, name) for name in names if self.weights == "pocket")
                if reason := next(filter(None, (*lacking, unfit_for_several(names, self.students))), None):
                    yield ("pairs", dataset, position), reason
        if reason := unfit_controls(self.weights, self.controls):
            yield ("controls",), reason
        known = registry.names("dataset")
        drawn = next((name for name in self.pairs if name in known and not is_prepared_kind(name)), None)
        for split, count in self.samples:
            if count is None and drawn:
                yield ("samples", split), f"'all' is for images in files, but '{drawn}' is drawn: expected a number"
        if self.dedupe and drawn:
            yield ("dedupe",), f"compares files, but '{drawn}' is drawn: leave it out"
        for kind, losses in self.losses.items():
            for position, loss in enumerate(losses):
                reasons = (unfit(loss, student, kind) for student in self.students)
                if reason := next(filter(None, reasons), None):
                    yield ("losses", kind, position), reason


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

    def faults(self) -> Iterator[Fault]:
        if [self.absolute, self.relative, self.deviations].count(None) != 2:
            yield (), "expected a number, or one of relative and deviations"
        elif self.absolute is not None and self.at_least is not None:
            yield (), "at_least goes with relative or deviations; an absolute tolerance needs none"


class Matrix(Strict):
    """All of matrix.yaml."""

    # First what is declared, whose names the profiles may use.
    teachers: dict[EntryName, TeacherEntry] = Field({})
    students: dict[EntryName, StudentEntry] = Field({})
    datasets: dict[EntryName, DatasetEntry] = Field({})
    profiles: dict[ProfileName, Profile] = Field(min_length=1)
    training: Training
    overrides: dict[Student, Override] = Field({})
    tolerances: dict[Metric, Tolerance] = Field({})

    @model_validator(mode="before")
    @classmethod
    def _declared(cls, content: object, given: ValidationInfo) -> object:
        for kind in ("teacher", "student", "dataset"):
            names = content.get(f"{kind}s") if isinstance(content, dict) else None
            given.context[kind] = tuple(names) if isinstance(names, dict) else ()
        return content

    def faults(self) -> Iterator[Fault]:
        yield from self._misnamed()
        needed = {field.name for field in fields(Case) if field.default is MISSING}
        for name, value in self.training:
            if name in needed and value is None:
                yield ("training",), f"missing key '{name}'"
        for student, part in self.overrides.items():
            for kind, loss in part.loss.items():
                if reason := unfit(loss, student, kind):
                    yield ("overrides", student, "loss", kind), reason
        for name, allowed in self.tolerances.items():
            if METRICS[name].better == "equal" and allowed.absolute != 0:
                yield ("tolerances", name), f"tolerances.{name}: must be equal to the baseline's, expected 0"
        for name, profile in self.profiles.items():
            usual = profile.training.batch_size or self.training.batch_size or 0
            own = (self.overrides.get(student, Override()).batch_size for student in profile.students)
            recipes = (recipe.batch_size for recipe in profile.recipes.values())
            largest = max(size or usual for size in (*own, *recipes))
            for split, count in profile.samples:
                if count is not None and count < largest:
                    path = ("profiles", name, "samples", split)
                    yield path, f"{count} samples are fewer than a batch of {largest}"

    def _misnamed(self) -> Iterator[Fault]:
        """Entries that are called like a file, teachers without file and library, and what a file's teacher does not take."""
        for name, teacher in self.teachers.items():
            if name in registry.names("teacher") and teacher.model:
                yield ("teachers", name, KEY), f"there is a teacher '{name}' already: give this one a name of its own"
            elif name not in registry.names("teacher") and not teacher.model:
                near = nearest(name, registry.names("teacher"))
                own = f"a teacher of your own names its library: {', '.join(LIBRARIES)}"
                yield ("teachers", name, KEY), f"unknown teacher '{name}', {near} ({own})"
            elif not teacher.model:
                for key in sorted(teacher.model_fields_set - {"path", "revision"}):
                    yield ("teachers", name, key), f"{key} is of a library's model; '{name}' has its own in its file"
        for kind, names in (("student", self.students), ("dataset", self.datasets)):
            for name in set(names).intersection(registry.names(kind)):
                yield (f"{kind}s", name, KEY), f"there is a {kind} '{name}' already: give this one a name of its own"
