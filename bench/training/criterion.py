"""The criterion of a training run: one loss by name, and the scale of the student's cosines, which is trained with it."""

import math

import torch
from torch import Tensor, nn

from bench import registry
from bench.training.losses import StudentBatch, TeacherBatch, Widths, build

INITIAL_SCALE, LARGEST_SCALE = 1 / 0.07, 100.0
CRITERION_SEED = 1_000_000


class Criterion(nn.Module):
    """One loss by name, and a trainable logit scale, initially 1/0.07 and at most 100, as CLIP's.

    Neither is part of the student's size, both are part of its checkpoint. The seed decides the first values of what the
    loss trains. Raises :class:`ValueError` where there is no class for a loss of labels.
    """

    def __init__(self, name: str, widths: Widths, seed: int):
        super().__init__()
        self.name, self.needs = name, registry.constant("loss", name, "NEEDS")
        if self.needs == "classification" and not widths.classes:
            raise ValueError(f"loss {name!r} needs classes, and these data have none")
        self.log_scale = nn.Parameter(torch.tensor(math.log(INITIAL_SCALE)))
        with torch.random.fork_rng(devices=[]):
            # Not the student's own seed: a classifier of the same numbers would begin as a copy of a projection.
            torch.manual_seed(seed + CRITERION_SEED)
            self.loss = build(name, widths)

    def forward(self, images: Tensor, texts: Tensor | None, attention: Tensor | None, teacher: TeacherBatch) -> Tensor:
        """Loss of one batch: the student's unit-length ``images [B, E]`` and ``texts [B, E]``, its ``attention [B, P]``."""
        if texts is None and self.needs == "captions":
            raise ValueError(f"loss {self.name!r} needs captions")
        return self.loss(StudentBatch(images, texts, attention, self.log_scale.exp()), teacher)

    @torch.no_grad()
    def clamp(self) -> None:
        """Keep the scale at most 100, as CLIP does."""
        self.log_scale.clamp_(max=math.log(LARGEST_SCALE))
