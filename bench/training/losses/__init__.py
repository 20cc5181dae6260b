"""The losses, one file each: the file's name is the loss's name. Adding one is writing one file.

A loss file states, as plain literals,

* ``NEEDS``: "any" data, "images" without captions, "captions", labels ("classification"), a student with an "attention"
  map, or one with a last "map" of its own;
* ``TARGETS``: what it compares the student with: the teacher's "joint" embeddings (of captions too, where there are any),
  its "tokens", its "attention" and its class "logits", or "labels". Training reads nothing else. One with none of the
  teacher's is the task's own;

and offers ``Loss(widths)``, an ``nn.Module`` that is called with a :class:`StudentBatch` and a :class:`TeacherBatch` and
returns a scalar. What it trains (a projector, a classifier) is no part of the student, but of its checkpoint. One with a
method ``fit(joint [N, F])`` is given the teacher's embeddings of all training images before the first step. A file states
``ONE_CLASS = True`` where images that are mixed, and have shares of two labels, are nothing to it.

P and Q are softmax rows of the teacher's and the student's similarities, B the batch, E and F embedding widths.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bench import registry
from bench.kit.errors import UserError, defined

INITIAL_SCALE, LARGEST_SCALE = 1 / 0.07, 100.0  # factors on the student's cosines
CRITERION_SEED = 1_000_000


@dataclass(frozen=True)
class Widths:
    """Widths of the ``student``'s embeddings and of the ``teacher``'s joint ones, the number of ``classes``, and the widths of
    the student's last ``map`` and of the teacher's ``tokens``."""

    student: int
    teacher: int
    classes: int = 0
    map: int = 0
    tokens: int = 0


@dataclass(frozen=True)
class StudentBatch:
    """A student's unit-length ``images [B, E]``, ``texts [B, E]`` (None without captions) and ``attention [B, P]`` (None
    without a map), the trainable factor on its cosines, and its last ``map [B, C, H, W]`` where the loss reads it."""

    images: Tensor
    texts: Tensor | None
    attention: Tensor | None
    scale: Tensor
    map: Tensor | None = None


@dataclass(frozen=True)
class TeacherBatch:
    """What the loss compares a batch with: the teacher's unit-length ``images [B, F]`` and ``texts [B, F]``, its
    ``attention [B, P]``, ``tokens [B, 1 + P, D]`` and class ``logits [B, C]``, the factor on its cosines, and ``labels``, int64
    ``[B]`` or of mixed images shares ``[B, C]``; None where the loss does not need it."""

    images: Tensor | None
    texts: Tensor | None
    attention: Tensor | None
    scale: float
    labels: Tensor | None = None
    logits: Tensor | None = None
    tokens: Tensor | None = None


class Untrained(nn.Module):
    """A loss with nothing to train."""

    def __init__(self, widths: Widths):
        super().__init__()


class Criterion(nn.Module):
    """One loss by name, and a trainable logit scale, initially 1/0.07 and at most 100, as CLIP's.

    Neither is part of the student's size, both are part of its checkpoint. The seed decides the first values of what the
    loss trains.
    """

    def __init__(self, name: str, widths: Widths, seed: int):
        super().__init__()
        self.name = name
        self.log_scale = nn.Parameter(torch.tensor(math.log(INITIAL_SCALE)))
        with torch.random.fork_rng(devices=[]):
            # Not the student's own seed: a classifier of the same numbers would begin as a copy of a projection.
            torch.manual_seed(seed + CRITERION_SEED)
            self.loss = defined(registry.module("loss", name), "Loss")(widths)

    def forward(
        self,
        images: Tensor,
        texts: Tensor | None,
        attention: Tensor | None,
        teacher: TeacherBatch,
        last_map: Tensor | None = None,
    ) -> Tensor:
        """Loss of one batch of a student's outputs, as :class:`StudentBatch` has them. Raises :class:`UserError` where it is
        no scalar that a student can learn from."""
        loss = self.loss(StudentBatch(images, texts, attention, self.log_scale.exp(), last_map), teacher)
        if not isinstance(loss, Tensor) or loss.ndim:
            what = f"a tensor of shape {[*loss.shape]}" if isinstance(loss, Tensor) else f"a {type(loss).__name__}"
            raise UserError(f"loss '{self.name}' returns {what}, expected a scalar, such as the mean over the batch")
        return loss

    @torch.no_grad()
    def clamp(self) -> None:
        """Keep the scale at most 100, as CLIP does."""
        self.log_scale.clamp_(max=math.log(LARGEST_SCALE))


def similarities(student: StudentBatch, teacher: TeacherBatch) -> tuple[Tensor, Tensor]:
    """Scaled similarities of images ``[B, B]`` with their captions, or else with each other: the student's, the teacher's."""
    if student.texts is None:
        return student.scale * student.images @ student.images.T, teacher.scale * teacher.images @ teacher.images.T
    return student.scale * student.images @ student.texts.T, teacher.scale * teacher.images @ teacher.texts.T


def as_points(images: Tensor, texts: Tensor | None) -> Tensor:
    """Images and captions as one set ``[2B, E]``, each image before its caption: the first points are of both."""
    return images if texts is None else torch.stack([images, texts], dim=1).flatten(0, 1)


def without_diagonal(similarity: Tensor) -> Tensor:
    """A square ``[B, B]`` without its diagonal: ``[B, B - 1]``.

    A batch's similarity with itself has its mass on the diagonal for any model; left in, it hides the rest.
    """
    count = len(similarity)
    return similarity.flatten()[1:].view(count - 1, count + 1)[:, :-1].reshape(count, count - 1)


class Projector(nn.Linear):
    """A linear map without bias from the student's width to the teacher's, where a loss compares embeddings of the two.

    Images and texts share it, as the student's two towers must stay in one space: with one for each (as in CLIP-KD) each
    could match the teacher's without matching the other. It starts orthogonal, so that where it widens angles are the
    same before and after it.
    """

    def __init__(self, widths: Widths):
        super().__init__(widths.student, widths.teacher, bias=False)
        nn.init.orthogonal_(self.weight)


def projector_between(widths: Widths) -> nn.Module:
    """A projector where the student's width and the teacher's differ."""
    return Projector(widths) if widths.student != widths.teacher else nn.Identity()
