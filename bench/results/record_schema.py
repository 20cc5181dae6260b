"""What kinds a record's parts must be of, so that whoever reads one need not ask: validated with pydantic.

What a case that did not end may lack has a default here; what a finished one must have is checked in ``bench.results.record``.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bench.metrics import METRICS

FORMAT = 3
STATUSES = ("done", "failed", "oom", "timeout", "skipped", "crashed")

Number = int | float  # strict: neither true nor "1"
Metric = Literal[tuple(METRICS)]
Point = Annotated[list[Number], Field(min_length=2, max_length=2)]  # [B, %]


class Part(BaseModel):
    """A part of a record; what nobody reads of it may be anything."""

    model_config = ConfigDict(strict=True, extra="allow")


class Measured(Part):
    value: Number | None


class Scored(Part):
    value: Number


class OfCase(Part):
    epochs: int | None = None
    controls: list[str] = []
    control: str | None = None
    precision: str = "auto"


class Probe(Part):
    converged: bool


class Leakage(Part):
    seen: int | None
    of: int
    basis: str


class SplitFacts(Part):
    images: int
    captions: int | None = None


class Skipped(Part):
    file: str


class Data(Part):
    subset: bool
    skipped: list[Skipped]
    left_out: dict[str, int]
    splits: dict[str, SplitFacts]


class Protocol(Part):
    in_batch_size: int | None = None
    in_batch_chance: Number | None = None
    chance: dict[str, Number] = {}
    probe: Probe | None = None
    zero_shot_classes: Annotated[int, Field(gt=0)] | None = None
    zero_shot_images: int | None = None
    train_images: int = 0
    test_images: int = 0
    test_captions: int = 0
    features: str | None = None
    feature_store: str | None = None
    timed_on: dict[str, str] = {}  # metric: machine
    teacher: dict | None = None
    teacher_weights_sha256: str | None = None
    leakage: Leakage | None = None
    data: Data | None = None


class Hardware(Part):
    device: str | None = None
    processor: str | None = None
    threads: int | None = None
    precision: dict[str, str] = {}


class Environment(Part):
    software: dict[str, str] = {}
    hardware: Hardware = Hardware()
    git: dict[str, str | bool | None] = {}


class Content(BaseModel):
    """All of a record's file but its digest."""

    model_config = ConfigDict(strict=True, extra="forbid")

    format: Literal[FORMAT]
    id: str
    case: OfCase
    fingerprint: str
    status: Literal[STATUSES]
    message: str = ""
    metrics: dict[Metric, Measured]
    teacher: dict[Metric, Measured]
    controls: dict[str, dict[Metric, Scored]]
    in_batch: dict[Literal["student", "teacher"], Annotated[list[Point], Field(min_length=1)]]
    curve: list[dict[str, Number]]
    protocol: Protocol = Protocol()
    environment: Environment = Environment()
    started: str = ""
    seconds: Number | None = None


def check(content: object) -> None:
    """Raise ``ValueError`` naming the first parts that are missing or of the wrong kind."""
    try:
        Content.model_validate(content)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False, include_context=False)
        told = [f"{'.'.join(map(str, fault['loc']))[:80] or 'content'}: {fault['msg'][:80]}" for fault in faults]
        raise ValueError("; ".join(told[:3]) + ("; ..." if len(told) > 3 else "")) from None
