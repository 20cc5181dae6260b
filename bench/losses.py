"""The distillation losses, each a function with its formula and source; and the criterion that applies one.

``NAMES`` says what each loss needs: "any" data, "captions", or a student with an "attention" map.
P and Q are softmax rows of the teacher's and the student's similarities, B the batch.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

NAMES = {
    "logit-matching": "any",
    "contrastive": "captions",
    "combined": "captions",
    "attention-transfer": "attention",
}
INITIAL_SCALE, LARGEST_SCALE = 1 / 0.07, 100.0


def logit_matching(student: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
    """T^2 KL(P || Q) of scaled similarities ``[B, N]``, summed over a row, averaged over rows.

    Hinton et al., 1503.02531: P = softmax(teacher / T), Q = softmax(student / T); T^2 keeps the gradient's size.
    """
    target = (teacher / temperature).log_softmax(dim=1)
    guess = (student / temperature).log_softmax(dim=1)
    return temperature**2 * F.kl_div(guess, target, reduction="batchmean", log_target=True)


def image_text_matching(student: Tensor, teacher: Tensor) -> Tensor:
    """Logit matching in both directions, averaged: rows are images, columns their captions, ``[B, B]``.

    Affinity mimicking of TinyCLIP (2309.12314) up to the entropy of the teacher, which has no gradient.
    """
    return (logit_matching(student, teacher) + logit_matching(student.T, teacher.T)) / 2


def without_diagonal(similarity: Tensor) -> Tensor:
    """A square ``[B, B]`` less its diagonal: ``[B, B - 1]``.

    A batch's similarity with itself has its mass on the diagonal for any model; left in, it hides the rest.
    """
    count = len(similarity)
    return similarity.flatten()[1:].view(count - 1, count + 1)[:, :-1].reshape(count, count - 1)


def contrastive(logits: Tensor) -> Tensor:
    """Symmetric InfoNCE of scaled image-text similarities ``[B, B]`` (Radford et al., 2103.00020)."""
    target = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


def attention_transfer(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean over the batch of || Q_S / ||Q_S|| - Q_T / ||Q_T|| ||, Q the flattened maps ``[B, P]``.

    Zagoruyko and Komodakis, 1612.03928, eq. 2, one layer. Square grids that differ are average-pooled to the
    smaller one first.
    """
    student, teacher = _same_grid(student, teacher)
    difference = F.normalize(student, dim=1) - F.normalize(teacher, dim=1)
    return difference.norm(dim=1).mean()


def _same_grid(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    side = min(math.isqrt(first.shape[1]), math.isqrt(second.shape[1]))

    def pooled(attention: Tensor) -> Tensor:
        own = math.isqrt(attention.shape[1])
        if own == side:
            return attention
        return F.adaptive_avg_pool2d(attention.view(-1, 1, own, own), side).flatten(1)

    return pooled(first), pooled(second)


@dataclass(frozen=True)
class TeacherBatch:
    """What the loss sees of the teacher: unit-length ``images [B, E]``, ``texts [B, E]`` or None, ``attention
    [B, P]``, and the factor on its cosines."""

    images: Tensor
    texts: Tensor | None
    attention: Tensor
    scale: float


class Criterion(nn.Module):
    """One loss by name, with the student's trainable logit scale (initially 1/0.07, at most 100).

    The scale belongs to the loss, not to the student: it is not part of its size, but of its checkpoint.
    """

    def __init__(self, name: str):
        super().__init__()
        if name not in NAMES:
            raise ValueError(f"unknown loss {name!r}, expected one of {', '.join(NAMES)}")
        self.name = name
        self.log_scale = nn.Parameter(torch.tensor(math.log(INITIAL_SCALE)))

    def forward(self, images: Tensor, texts: Tensor | None, attention: Tensor | None, teacher: TeacherBatch) -> Tensor:
        """Loss of one batch: student's unit-length ``images [B, E]`` and ``texts [B, E]``, its ``attention [B, P]``."""
        scale = self.log_scale.exp()
        if texts is None and NAMES[self.name] == "captions":
            raise ValueError(f"loss {self.name!r} needs captions")
        if texts is None:
            guess = scale * without_diagonal(images @ images.T)
            target = teacher.scale * without_diagonal(teacher.images @ teacher.images.T)
            loss = logit_matching(guess, target)
        else:
            guess = scale * images @ texts.T
            target = teacher.scale * teacher.images @ teacher.texts.T
            match self.name:
                case "contrastive":
                    return contrastive(guess)
                case "combined":
                    return contrastive(guess) + image_text_matching(guess, target)
            loss = image_text_matching(guess, target)
        if self.name == "attention-transfer":
            loss = loss + attention_transfer(attention, teacher.attention)
        return loss

    @torch.no_grad()
    def clamp(self) -> None:
        """Keep the scale at most 100, as CLIP does."""
        self.log_scale.clamp_(max=math.log(LARGEST_SCALE))
