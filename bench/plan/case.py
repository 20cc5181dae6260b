"""A case: one cell of the matrix with everything that decides its result, its id and its fingerprint."""

import hashlib
import json
import re
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path

from bench import registry
from bench.controls import CONTROLS, TASK_LOSSES
from bench.data import own, prepared
from bench.declared import Images, LibraryModel, LibraryStudent, OneTeacher
from bench.plan import fingerprint

# They decide no figure, but for last digits.
NO_FACTS = ("threads", "names_seed", "several_losses", "recipe", "evaluate_every")
OF_TEACHER = ("teacher", "several", "teacher_model", "weights", "checkpoint", "revision", "geometry", "features")
PRECISIONS = ("auto", "fp32", "tf32", "bf16")


@dataclass(frozen=True)
class Case:
    """One cell of the matrix, with everything that decides its result."""

    dataset: str
    teacher: str
    student: str
    epochs: int
    seed: int
    weights: str
    checkpoint: str | None  # of a pretrained teacher: a local path instead of the hub's
    revision: str | None  # of a pretrained teacher: the hub's revision that is asked for
    train_samples: int | None  # at most so many; None: all
    test_samples: int | None
    embedding: int
    bottleneck: int
    trunk: str
    loss: str
    batch_size: int
    learning_rate: float
    weight_decay: float
    warmup_steps: int
    features: str  # element type of stored features
    geometry: str  # what part of a picture the teacher sees
    dedupe: bool = False  # train without files that are there twice
    schedule: str = "constant"  # of the rate after the warm-up; "cosine": it falls to 0 by the end
    ema: float | None = None  # decay of the average of the weights that is evaluated; None: the weights themselves are
    views: int | str = 1  # augmented ones of each training image that are stored, or "live"; 1: the image as it is
    mixup: float | None = None  # of the share of each of two images, Beta(mixup, mixup); None: images are not mixed
    evaluate_every: int = 1  # epochs from one point of the curve to the next; the first and the last are always points
    controls: tuple[str, ...] = ()  # that are measured beside it
    control: str | None = None  # which trained control this case is; None: it is none
    precision: str = "auto"
    threads: int | None = None  # of the CPU; None: its share of the cores
    names_seed: bool = False  # in its id: every seed but the profile's only one
    several_losses: bool = False
    recipe: str | None = None  # its name, where a profile compares several
    teacher_model: LibraryModel | None = (
        None  # of a teacher, student or dataset that the matrix declares; None: it has a file
    )
    student_model: LibraryStudent | None = None
    images: Images | None = None
    several: tuple[OneTeacher, ...] = ()  # teachers, whose names "teacher" joins by "+"; none: it has one

    @property
    def alone(self) -> tuple["Case", ...]:
        """The same with each of its teachers alone."""
        facts = ((one.name, one.checkpoint, one.revision, one.model) for one in self.several)
        keys = "teacher", "checkpoint", "revision", "teacher_model"
        return tuple(replace(self, several=(), **dict(zip(keys, one, strict=True))) for one in facts) or (self,)

    @property
    def run(self) -> str:
        """Name of the training run: cases share one that differ only in epochs, where the rate does not depend on them, or
        in a teacher that training does not ask."""
        teacher = f"-{self.teacher}" if self.asks_teacher else ""
        epochs = "" if self.shares_run else f"-{self.epochs}ep"
        return f"{self.dataset}{teacher}-{self.student}{epochs}{self._ending}"

    @property
    def id(self) -> str:
        return f"{self.dataset}-{self.teacher}-{self.student}-{self.epochs}ep{self._ending}"

    @property
    def shares_run(self) -> bool:
        """Whether a longer case continues this one: its rate does not know the end."""
        return self.schedule == "constant"

    @property
    def variant(self) -> tuple[str, ...]:
        """What tells apart cases of one student where a profile compares several: the loss, the recipe."""
        return (*([self.loss] if self.several_losses else []), *([self.recipe] if self.recipe else []))

    @property
    def _ending(self) -> str:
        parts = (f"s{self.seed}" if self.names_seed else "", *self.variant, self.control or "")
        return "".join(f"-{part}" for part in parts if part)

    @property
    def kind(self) -> str:
        """The kind of data that its teacher and student see: "classification", "captions", or "images" alone.

        A teacher that reads no text sees the images of a caption set.
        """
        kind = own.kind(self.images) if self.images else registry.constant("dataset", self.dataset, "KIND")
        return "images" if kind == "captions" and not self.teacher_reads_text else kind

    @property
    def teacher_reads_text(self) -> bool:
        """Whether its teacher embeds captions, too; several have no space in common for them."""
        if self.several:
            return False
        if self.teacher_model:
            return self.teacher_model.reads_text
        return registry.constant("teacher", self.teacher, "KIND") == "captions"

    @property
    def is_drawn(self) -> bool:
        """Whether its images are drawn by the suite, as opposed to files."""
        return not self.images and not registry.constant("dataset", self.dataset, "PREPARED")

    @property
    def is_distilled(self) -> bool:
        """Whether the loss compares the student with its teacher; the task's own does not."""
        return self.loss != TASK_LOSSES.get(self.kind)

    @property
    def asks_teacher(self) -> bool:
        """Whether its training reads anything of the teacher's; captions always pass through the teacher's text tower."""
        of_teacher = {"joint", "attention", "logits", "tokens"}
        return self.reads != "pixels" or self.kind == "captions" or not of_teacher.isdisjoint(self.targets)

    @property
    def has_random_teacher(self) -> bool:
        """Whether the case is a control whose teacher has random weights."""
        return self.control is not None and CONTROLS[self.control].random_teacher

    @property
    def has_picture(self) -> bool:
        """Whether a picture can explain it: several teachers have no map of where they look in common."""
        return self.control is None and not self.several

    @property
    def reads(self) -> str:
        """What the student's image tower reads: "pooled", "tokens" or "pixels"."""
        return "pixels" if self.student_model else registry.constant("student", self.student, "READS")

    @property
    def text_reads(self) -> str:
        """What the student's text tower reads: "pooled" or "tokens"."""
        return "pooled" if self.student_model else registry.constant("student", self.student, "TEXT_READS")

    @property
    def targets(self) -> tuple[str, ...]:
        """What its loss compares the student with."""
        return registry.constant("loss", self.loss, "TARGETS")

    def resolved(self) -> dict:
        """The case as plain data, as it is kept in a record."""
        facts = {key: value for key, value in asdict(self).items() if key not in NO_FACTS}
        # Where it lies on this machine decides nothing; what is in it does, and stands in the fingerprint.
        checkpoint = Path(self.checkpoint).name if self.checkpoint else None
        images = self.images and self.images.facts()
        several = [
            one | {"checkpoint": one["checkpoint"] and Path(one["checkpoint"]).name} for one in facts.pop("several")
        ]
        facts |= {"several": several} if several else {}
        return facts | {"checkpoint": checkpoint, "controls": list(self.controls), "images": images}

    @property
    def run_fingerprint(self) -> str:
        """Identity of the training run: everything that decides its weights except how long it goes on, unless that does."""
        return self._identity(self.asks_teacher)

    @property
    def fingerprint(self) -> str:
        """Identity of the result. Equal fingerprints mean that a record can be reused."""
        return _digest(f"{self._identity(True)} {self.epochs} {' '.join(self.controls)}".encode())

    def files(self, with_teacher: bool = True) -> list[Path]:
        """The files that define its teachers, student, dataset and loss."""
        if self.several:
            return [*dict.fromkeys(file for case in self.alone for file in case.files(with_teacher))]
        declared = {
            "teacher": self.teacher_model and registry.library("teacher", self.teacher_model.library),
            "student": self.student_model and registry.library("student", "timm"),
            "dataset": self.images and registry.library("dataset", "folder"),
        }
        kinds = [kind for kind in registry.FOLDERS if with_teacher or kind != "teacher"]
        return [declared.get(kind) or registry.path(kind, getattr(self, kind)) for kind in kinds]

    def _identity(self, with_teacher: bool) -> str:
        facts = self.resolved() | {"sources": self._sources(with_teacher)}
        del facts["controls"]
        if self.shares_run:
            del facts["epochs"]
        if self.images:
            facts["data"] = own.identity(self.dataset, self.images)
        elif not self.is_drawn:
            facts["data"] = prepared.identity(prepared.shipped(self.dataset))
        if not with_teacher:
            facts = {name: value for name, value in facts.items() if name not in OF_TEACHER}
        elif digests := [_checkpoint_digest(Path(one.checkpoint)) for one in self.alone if one.checkpoint]:
            facts["checkpoint"] = "+".join(digests)
        return _digest(json.dumps(facts, sort_keys=True).encode())

    def _sources(self, with_teacher: bool) -> dict[str, str]:
        digests = fingerprint.sources(*self.files(with_teacher))
        if with_teacher and self.weights == "pocket" and not self.has_random_teacher:
            files = [registry.pocket_weights(one.teacher, self.dataset) for one in self.alone]
            return digests | {file.name: fingerprint.digest(file) for file in files}
        return digests


@cache
def _checkpoint_digest(path: Path) -> str:
    """Content of a checkpoint's file, or of the weights and configurations in its folder."""
    files = sorted(path.glob("*")) if path.is_dir() else [path]
    return _digest("".join(fingerprint.digest(file) for file in files if not file.is_dir()).encode())


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def without_seed(case_id: str) -> str:
    """A case's id without its seed: what the seeds of one configuration have in common."""
    return re.sub(r"(?<=\dep)-s\d+(?=-|$)", "", case_id)
