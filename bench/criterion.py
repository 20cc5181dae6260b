"""The criterion of a training run: one loss by name, and what is trained with it but is no part of the student.

Published are the losses themselves (:mod:`bench.losses`). Ours is how they are applied to images with captions and to
images alone, as :meth:`Criterion.forward` says.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench import losses

INITIAL_SCALE, LARGEST_SCALE = 1 / 0.07, 100.0
CRITERION_SEED = 1_000_000


@dataclass(frozen=True)
class Widths:
    """Widths of the ``student``'s embeddings and of the ``teacher``'s joint ones, and the number of ``classes``."""

    student: int
    teacher: int
    classes: int = 0


@dataclass(frozen=True)
class TeacherBatch:
    """What the loss compares a batch with: the teacher's unit-length ``images [B, E]`` and ``texts [B, E]``, its
    ``attention [B, P]`` and the factor on its cosines, and int64 ``labels [B]``; None where the loss does not need it."""

    images: Tensor | None
    texts: Tensor | None
    attention: Tensor | None
    scale: float
    labels: Tensor | None = None


class Criterion(nn.Module):
    """One loss by name, with the trainable parts that it needs.

    These belong to the loss, not to the student: they are not part of its size, but of its checkpoint.

    * The logit scale, initially 1/0.07 and at most 100, as CLIP's.
    * A linear ``projector`` without bias from the student's width to the teacher's, where a loss compares embeddings of
      the two: always for the feature losses, for ICL where the widths differ. Images and texts share it, as the student's
      two towers must stay in one space: with one for each (as in CLIP-KD) each could match the teacher's without matching
      the other. It starts orthogonal, so that where it widens angles are the same before and after it.
    * A linear ``classifier`` without bias for cross-entropy.

    The seed decides their first values. Raises :class:`ValueError` where there is no such loss, or no class for it.
    """

    def __init__(self, name: str, widths: Widths, seed: int):
        super().__init__()
        if name not in losses.NAMES:
            raise ValueError(f"unknown loss {name!r}, expected one of {', '.join(losses.NAMES)}")
        if losses.NAMES[name] == "classification" and not widths.classes:
            raise ValueError(f"loss {name!r} needs classes, of which these data have none")
        self.name = name
        self.log_scale = nn.Parameter(torch.tensor(math.log(INITIAL_SCALE)))
        with torch.random.fork_rng(devices=[]):
            # Not the student's own: a classifier of the same numbers would begin as a copy of a projection.
            torch.manual_seed(seed + CRITERION_SEED)
            if name in ("feature-mse", "feature-cosine") or (name == "icl" and widths.student != widths.teacher):
                self.projector = nn.Linear(widths.student, widths.teacher, bias=False)
                nn.init.orthogonal_(self.projector.weight)
            if name == "cross-entropy":
                self.classifier = nn.Linear(widths.student, widths.classes, bias=False)

    def forward(self, images: Tensor, texts: Tensor | None, attention: Tensor | None, teacher: TeacherBatch) -> Tensor:
        """Loss of one batch: student's unit-length ``images [B, E]`` and ``texts [B, E]``, its ``attention [B, P]``.

        Feature losses: the sum over both towers, as CLIP-KD has it. ICL: the mean of both directions, likewise. RKD: images
        and captions as one set of 2B points, so that relations between the modalities count. Logit matching and DIST:
        similarities of images with captions, the mean of both directions. Without captions the images alone, and their
        similarities with each other less the diagonal. Attention transfer is added to logit matching.
        """
        if texts is None and losses.NAMES[self.name] == "captions":
            raise ValueError(f"loss {self.name!r} needs captions")
        scale = self.log_scale.exp()
        match self.name:
            case "cross-entropy":
                return losses.cross_entropy(images, self.classifier.weight, teacher.labels, scale)
            case "contrastive":
                return losses.contrastive(scale * images @ texts.T)
            case "feature-mse":
                # Projected, but not brought to unit length: then it would be twice the cosine's loss.
                return self._of_towers(losses.feature_mse, images, texts, teacher)
            case "feature-cosine":
                return self._of_towers(losses.feature_cosine, images, texts, teacher)
            case "rkd":
                return losses.rkd(_points(images, texts), _points(teacher.images, teacher.texts))
            case "icl":
                to_texts = losses.icl(F.normalize(self._projected(images), dim=1), teacher.texts, scale)
                return (to_texts + losses.icl(F.normalize(self._projected(texts), dim=1), teacher.images, scale)) / 2
            case "dist-loss":
                return _dist(images, texts, teacher, scale)
        return self._of_similarities(images, texts, attention, teacher)

    def _of_similarities(
        self, images: Tensor, texts: Tensor | None, attention: Tensor | None, teacher: TeacherBatch
    ) -> Tensor:
        """Logit matching, and what is added to it."""
        scale = self.log_scale.exp()
        if texts is None:
            guess = scale * losses.without_diagonal(images @ images.T)
            target = teacher.scale * losses.without_diagonal(teacher.images @ teacher.images.T)
            loss = losses.logit_matching(guess, target)
        else:
            guess = scale * images @ texts.T
            target = teacher.scale * teacher.images @ teacher.texts.T
            if self.name == "combined":
                return losses.contrastive(guess) + losses.image_text_matching(guess, target)
            loss = losses.image_text_matching(guess, target)
        if self.name == "attention-transfer":
            loss = loss + losses.attention_transfer(attention, teacher.attention)
        return loss

    def _of_towers(self, loss: Callable, images: Tensor, texts: Tensor | None, teacher: TeacherBatch) -> Tensor:
        total = loss(self._projected(images), teacher.images)
        return total if texts is None else total + loss(self._projected(texts), teacher.texts)

    def _projected(self, embeddings: Tensor) -> Tensor:
        return self.projector(embeddings) if hasattr(self, "projector") else embeddings

    @torch.no_grad()
    def clamp(self) -> None:
        """Keep the scale at most 100, as CLIP does."""
        self.log_scale.clamp_(max=math.log(LARGEST_SCALE))


def _dist(images: Tensor, texts: Tensor | None, teacher: TeacherBatch, scale: Tensor) -> Tensor:
    if texts is None:
        return losses.dist_to_each_other(scale * images @ images.T, teacher.scale * teacher.images @ teacher.images.T)
    guess, target = scale * images @ texts.T, teacher.scale * teacher.images @ teacher.texts.T
    return (losses.dist(guess, target) + losses.dist(guess.T, target.T)) / 2


def _points(images: Tensor, texts: Tensor | None) -> Tensor:
    """Images and captions as one set ``[2B, E]``, each image before its caption: the first points are of both."""
    return images if texts is None else torch.stack([images, texts], dim=1).flatten(0, 1)
