"""Runs a frozen teacher once over a dataset. Every student and every epoch read what it said.

Features stay in memory in float32. Where a teacher's features are wider than its students expect
(``reduce_to``), a PCA fitted on the training split reduces them; it is never a random layer.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from bench.data import Split
from bench.measure.timing import synchronise
from teachers import Teacher

CHUNK = 256


@dataclass(frozen=True)
class Features:
    """What the teacher says about one split, beside the split itself.

    ``tokens [N, 1 + P, D]`` has the pooled token first, then the patch grid; ``pooled [N, D]``, ``attention
    [N, P]`` and unit-length ``joint [N, E]`` as in :class:`teachers.ImageFeatures`. For captions, ``text_pooled
    [C, D]``, ``text_tokens [C, L, D]`` with ``text_lengths [C]``, ``text_joint [C, E]``; otherwise None.
    """

    split: Split
    tokens: Tensor
    attention: Tensor
    joint: Tensor
    scale: float
    text_pooled: Tensor | None = None
    text_tokens: Tensor | None = None
    text_lengths: Tensor | None = None
    text_joint: Tensor | None = None

    @property
    def pooled(self) -> Tensor:
        return self.tokens[:, 0]

    def read(self, reads: str) -> Tensor:
        """The array that an image tower reads, by the student's ``READS``."""
        return {"pooled": self.pooled, "tokens": self.tokens, "pixels": self.split.pixels}[reads]


class Pca(nn.Linear):
    """A map to the K principal components, as a linear layer ``[.., D] -> [.., K]`` with the mean in its bias."""

    def __init__(self, mean: Tensor, components: Tensor, explained_variance: float):
        super().__init__(*components.shape)
        self.explained_variance = explained_variance
        self.weight = nn.Parameter(components.T.float().contiguous(), requires_grad=False)
        self.bias = nn.Parameter(-(mean @ components).float(), requires_grad=False)


@dataclass(frozen=True)
class Distilled:
    """A teacher's features of both splits, the reductions that made them, and the pass's cost in seconds."""

    train: Features
    test: Features
    image_pca: Pca | None
    text_pca: Pca | None
    seconds: float

    @property
    def width(self) -> int:
        return self.train.tokens.shape[-1]


def distil(
    teacher: Teacher, train: Split, test: Split, device: torch.device, progress: Callable[[int, int], None]
) -> Distilled:
    """Run ``teacher``, which is on ``device``, over both splits. ``progress(done, total)`` follows each chunk of images."""
    start = time.perf_counter()
    total = len(train) + len(test)
    first = run_teacher(teacher, train.to(device), lambda done: progress(done, total))
    second = run_teacher(teacher, test.to(device), lambda done: progress(len(train) + done, total))
    image_pca = text_pca = None
    if teacher.reduce_to is not None:
        image_pca = fit_pca(_sample(first.tokens), teacher.reduce_to).to(device)
        text_pca = fit_pca(_sample(first.text_tokens, first.text_lengths), teacher.reduce_to).to(device)
        first, second = (_reduced(features, image_pca, text_pca) for features in (first, second))
    synchronise(device)
    return Distilled(first, second, image_pca, text_pca, time.perf_counter() - start)


def run_teacher(teacher: Teacher, split: Split, progress: Callable[[int], None] = lambda done: None) -> Features:
    """The teacher's unreduced features of one split."""
    images = []
    for start in range(0, len(split), CHUNK):
        said = teacher.image(split.pixels[start : start + CHUNK])
        images.append((torch.cat([said.pooled[:, None], said.patches], dim=1), said.attention, said.joint))
        progress(min(start + CHUNK, len(split)))
    tokens, attention, joint = (torch.cat(parts) for parts in zip(*images, strict=True))
    if not split.captions:
        return Features(split, tokens, attention, joint, teacher.scale)
    texts = [teacher.text(split.captions[start : start + CHUNK]) for start in range(0, len(split.captions), CHUNK)]
    longest = max(said.tokens.shape[1] for said in texts)
    padded = [torch.nn.functional.pad(said.tokens, (0, 0, 0, longest - said.tokens.shape[1])) for said in texts]
    return Features(
        split, tokens, attention, joint, teacher.scale,
        text_pooled=torch.cat([said.pooled for said in texts]),
        text_tokens=torch.cat(padded),
        text_lengths=torch.cat([said.lengths for said in texts]),
        text_joint=torch.cat([said.joint for said in texts]),
    )  # fmt: skip


def fit_pca(rows: Tensor, width: int) -> Pca:
    """Principal components of ``rows [M, D]``, in float64; signs fixed so that the largest entry is positive."""
    if not 0 < width <= rows.shape[1]:
        raise ValueError(f"cannot reduce features of width {rows.shape[1]} to {width}")
    rows = rows.double().cpu()
    mean = rows.mean(dim=0)
    variances, vectors = torch.linalg.eigh((rows - mean).T @ (rows - mean))
    components = vectors[:, -width:].flip(1)
    components = components * components.gather(0, components.abs().argmax(dim=0)[None]).sign()
    explained = variances[-width:].sum() / variances.sum()
    return Pca(mean, components, explained.item())


def _sample(tokens: Tensor, lengths: Tensor | None = None) -> Tensor:
    """The pooled token and as many other tokens, one drawn from each sample: ``[2 N, D]``.

    One map has to serve pooled features and tokens, so both count the same.
    """
    count = len(tokens)
    generator = torch.Generator().manual_seed(0)
    ends = torch.full((count,), tokens.shape[1]) if lengths is None else lengths.cpu()
    place = 1 + (torch.rand(count, generator=generator) * (ends - 1)).long()
    return torch.cat([tokens[:, 0], tokens[torch.arange(count), place.to(tokens.device)]])


@torch.no_grad()
def _reduced(features: Features, image: Pca, text: Pca) -> Features:
    return replace(
        features,
        tokens=image(features.tokens),
        text_pooled=text(features.text_pooled),
        text_tokens=text(features.text_tokens),
    )
