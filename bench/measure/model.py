"""A model as it is scored: what it makes of the data, and what follows from that."""

from copy import copy
from dataclasses import dataclass
from functools import cached_property
from pkgutil import resolve_name

import torch
from torch import Tensor

from bench import metrics
from bench.features.columns import Features, Rows, in_order
from bench.features.device import images_at_once
from bench.features.extract import TeacherFeatures
from bench.measure.classification import knn, zero_shot
from bench.measure.in_batch import in_batch_curve
from bench.measure.probe import Probe, linear_probe
from bench.measure.retrieval import match_ranks, nearest, retrieval
from bench.measure.tiles import Classified
from bench.plan.case import Case
from students import Student

CHUNK = 256  # images or captions that are embedded at once, at most


@torch.no_grad()
def embed(student: Student, case: Case, features: Features, mixed: bool = False, captions: bool = False) -> Tensor:
    """Unit-length embeddings of all images, float32 ``[N, E]``, or of all ``captions``, ``[C, E]``.

    With ``mixed`` the forward pass runs in bfloat16, as in training and in what is timed as the deployed path.
    """
    student.eval()
    device, reads, side = features.device, f"text_{case.text_reads}" if captions else case.reads, 1
    if reads == "pixels":
        side = student.input_side(features.split.side)
    elif reads == "tokens":
        side = features.source(reads).shape[1]  # attention from each token to each is as large as an image
    chunk = images_at_once(device, side, CHUNK)
    rows = Rows(torch.arange(len(features.split.captions if captions else features)), device)

    def fetch(start: int) -> tuple[Tensor, ...]:
        part = rows[start : start + chunk]
        return features.texts(part, case.text_reads) if captions else (features.images(part, reads),)

    inputs = in_order(range(0, len(rows), chunk), fetch, device, features.resident(reads))
    with torch.autocast(device.type, torch.bfloat16, enabled=mixed):
        return torch.cat([student.text(*part) if captions else student.image(*part)[0] for part in inputs])


@dataclass(eq=False)
class Model:
    """A model that is scored: what it makes of the data, and what follows from that, each worked out once.

    Embeddings have unit length: of held-out ``images [N, E]``; without captions the ``bank [M, E]`` of training images;
    of captions ``texts [C, E]`` and, where there are concepts, their ``prompts [P, E]``. ``batch`` is that of the paper's
    in-batch accuracy, ``scale`` the factor on the model's cosines.
    """

    features: TeacherFeatures
    batch: int
    images: Tensor
    scale: float = 1.0
    bank: Tensor | None = None
    texts: Tensor | None = None
    prompts: Tensor | None = None

    def __post_init__(self):
        test, device = self.features.test.split, self.images.device
        self.kind = "captions" if self.texts is not None else "images" if test.labels is None else "classification"
        self.labels = None if test.labels is None else test.labels.to(device)
        self.owner = None if test.owner is None else test.owner.to(device)

    @cached_property
    def neighbours(self) -> Classified:
        """Of classification data."""
        return knn(self.bank, self.features.train.split.labels, self.images, self.labels)

    @cached_property
    def probe(self) -> Probe:
        """Of classification data."""
        return linear_probe(self.bank, self.features.train.split.labels, self.images, self.labels)

    @cached_property
    def nearest_of_bank(self) -> Tensor:
        """Of images alone: the nearest training image of each, int64 ``[N]``; see :func:`nearest`."""
        return nearest(self.images, self.bank)

    @cached_property
    def bank_ids(self) -> Tensor:
        """Numbers of the training images, int64 ``[M]``: files with the same bytes have the same."""
        checksums = self.features.train.split.checksums or range(len(self.bank))
        first: dict[object, int] = {}
        ids = [first.setdefault(checksum, row) for row, checksum in enumerate(checksums)]
        return torch.tensor(ids, device=self.images.device)

    @cached_property
    def retrieval(self) -> dict[str, float]:
        """Of captions."""
        return retrieval(self.images, self.texts, self.owner)

    @cached_property
    def ranks(self) -> Tensor:
        """In the paper's matching, int64 ``[N]``: of each image with its first caption, or, without captions, with itself."""
        ids = torch.arange(len(self.images), device=self.images.device)
        others = self.images if self.texts is None else self.texts[torch.searchsorted(self.owner, ids)]
        return match_ranks(self.images, others, ids, ids)

    @cached_property
    def answers(self) -> Tensor:
        """The k-NN's class of each image, or the nearest caption of each image and the nearest image of each caption."""
        if self.kind == "classification":
            return self.neighbours.predictions
        return torch.cat([nearest(self.images, self.texts), nearest(self.texts, self.images)])

    @cached_property
    def zero_shot(self) -> Classified | None:
        """None where the data have no concepts, and of a model that reads no prompts."""
        if self.prompts is None:
            return None
        concepts = self.features.test.split.concepts
        return zero_shot(self.images, concepts.labels, self.prompts, concepts.prompt_classes)

    def at_batch(self, batch: int) -> "Model":
        """The model for a batch size: itself where that is its own, and keeps what will be worked out of it."""
        if batch == self.batch:
            return self
        other = copy(self)
        other.batch = batch
        return other

    @property
    def metrics(self) -> dict[str, float]:
        """All accuracies that rows of :mod:`bench.metrics` state for this kind of data."""
        return measured("accuracy", self.kind, self)

    @property
    def over_batches(self) -> list[tuple[int, float]]:
        """The paper's accuracy in percent for each batch size."""
        return in_batch_curve(self.ranks, len(self.ranks))


def of_student(student: Student, case: Case, features: TeacherFeatures, scale: float, mixed: bool = False) -> Model:
    """A student as it is now; with ``mixed`` it embeds in bfloat16."""
    images = embed(student, case, features.test, mixed)
    if case.kind != "captions":
        return Model(features, case.batch_size, images, scale, bank=embed(student, case, features.train, mixed))
    texts, prompts = embed(student, case, features.test, mixed, captions=True), None
    if features.prompts is not None:
        prompts = embed(student, case, features.prompts, mixed, captions=True)
    return Model(features, case.batch_size, images, scale, texts=texts, prompts=prompts)


def of_teacher(case: Case, features: TeacherFeatures) -> Model:
    """The teacher, by its own embeddings, not reduced."""
    test, prompts = features.test, features.prompts.text_joint if features.prompts is not None else None
    if case.kind != "captions":
        return Model(features, case.batch_size, test.joint, test.scale, bank=features.train.joint, prompts=prompts)
    return Model(features, case.batch_size, test.joint, test.scale, texts=test.text_joint, prompts=prompts)


def measured(group: str, kind: str, *subjects: object) -> dict[str, float]:
    """What the functions of a group's rows return of ``subjects``, by the rows' names."""
    values: dict[str, float] = {}
    for row in metrics.of_group(group, kind):
        if row.function and row.name not in values:
            value = resolve_name(f"bench.measure.{row.function}")(*subjects)
            values |= value if isinstance(value, dict) else {row.name: value}
    return values
