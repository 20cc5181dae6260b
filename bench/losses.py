"""The distillation losses, each a function with its formula, shapes and source; :mod:`bench.criterion` applies one.

P and Q are softmax rows of the teacher's and the student's similarities, B the batch, E and F embedding widths.
``NAMES`` and ``TARGETS`` are plain literals: a plan reads them without importing torch.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

# What each loss needs: "any" data, "captions", labels ("classification"), or a student with an "attention" map.
NAMES = {
    "logit-matching": "any",
    "contrastive": "captions",
    "combined": "captions",
    "attention-transfer": "attention",
    "feature-mse": "any",
    "feature-cosine": "any",
    "rkd": "any",
    "icl": "captions",
    "dist-loss": "any",
    "cross-entropy": "classification",
}
# What each loss compares the student with: the teacher's "joint" embeddings (of captions too, where there are any) and
# "attention", or "labels". Training reads nothing else. Those without "joint" and "attention" are the task's own.
TARGETS = {
    "logit-matching": ("joint",),
    "contrastive": (),
    "combined": ("joint",),
    "attention-transfer": ("attention", "joint"),
    "feature-mse": ("joint",),
    "feature-cosine": ("joint",),
    "rkd": ("joint",),
    "icl": ("joint",),
    "dist-loss": ("joint",),
    "cross-entropy": ("labels",),
}
# Of RKD's angles, whose number grows with the cube of the points: 64 points have 262,144 of them (1 MB), 512 have
# 134 million (0.5 GB). A larger batch gives its first points, which are as random as any.
ANGLE_POINTS = 64


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


def feature_mse(student: Tensor, teacher: Tensor) -> Tensor:
    """Squared distance of embeddings ``[B, E]``, summed over an embedding, averaged over the batch.

    FD of CLIP-KD (2307.12732): 1/B sum ||v_T - v_S||^2. Its code takes the mean over elements and weighs it by 2000 (4 sums
    at E = 512) against its other losses; a loss that stands alone needs no weight, as Adam's steps do not depend on one.
    """
    return (student - teacher).square().sum(dim=1).mean()


def feature_cosine(student: Tensor, teacher: Tensor) -> Tensor:
    """1 - cosine of embeddings ``[B, E]``, averaged over the batch: half of FD where both have unit length."""
    return (1 - F.cosine_similarity(student, teacher, dim=1)).mean()


def rkd(student: Tensor, teacher: Tensor) -> Tensor:
    """Relational distillation of points ``[B, E]`` to points ``[B, F]``: 25 * distances + 50 * angles.

    Park et al., 1904.05068, with its weights for classification. Huber losses (smooth L1) of all B^2 distances, in units
    of the mean of those that are not zero, and of the B^3 cosines of the angles between the differences to each point
    (of the first ``ANGLE_POINTS``); both are means over all pairs and triples, as in the authors' code.
    """
    distance = F.smooth_l1_loss(_relative_distances(student), _relative_distances(teacher))
    angle = F.smooth_l1_loss(_angles(student[:ANGLE_POINTS]), _angles(teacher[:ANGLE_POINTS]))
    return 25 * distance + 50 * angle


def _relative_distances(points: Tensor) -> Tensor:
    # Not by a matrix product, whose rounding sets duplicates apart. The gradient of a zero distance is zero.
    distances = torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist")
    mean = distances.sum() / (distances > 0).sum().clamp(min=1)
    return distances / torch.where(mean > 0, mean, 1)


def _angles(points: Tensor) -> Tensor:
    """Cosines at each point between the directions to each two others: ``[B, B, B]``."""
    differences = points[None] - points[:, None]
    lengths = differences.norm(dim=2, keepdim=True)
    # The direction between equal points is noise with a gradient of 1 / length: it has none.
    apart = lengths > 1e-5 * lengths.detach().mean()
    directions = torch.where(apart, differences / torch.where(apart, lengths, 1), 0)
    return directions @ directions.mT


def icl(student: Tensor, teacher_other: Tensor, scale: Tensor | float) -> Tensor:
    """Interactive contrastive learning: -log softmax of student embeddings ``[B, E]`` against the teacher's of the other
    modality ``[B, E]``, row i matching row i.

    CLIP-KD, 2307.12732. ``scale`` is e^t of the trainable t; the authors' code multiplies by t itself.
    """
    return F.cross_entropy(scale * student @ teacher_other.T, torch.arange(len(student), device=student.device))


def dist(student: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
    """T^2 (inter + intra) of scaled similarities ``[B, N]``: 1 - Pearson's correlation of P and Q, averaged over rows
    (inter) and over columns (intra).

    DIST, Huang et al., 2205.10536, both weights 1 as in the authors' code.
    """
    guess, target = ((logits / temperature).softmax(dim=1) for logits in (student, teacher))
    return temperature**2 * (pearson_distance(guess, target) + pearson_distance(guess.T, target.T))


def dist_to_each_other(student: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
    """:func:`dist` of a batch's scaled similarities with itself ``[B, B]``, neither softmax nor correlation seeing the
    diagonal."""
    itself = torch.eye(len(student), dtype=torch.bool, device=student.device)
    guess, target = (
        (logits / temperature).masked_fill(itself, -math.inf).softmax(dim=1) for logits in (student, teacher)
    )
    inter = pearson_distance(without_diagonal(guess), without_diagonal(target))
    intra = pearson_distance(without_diagonal(guess.T), without_diagonal(target.T))
    return temperature**2 * (inter + intra)


def pearson_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """1 - Pearson's correlation of rows ``[R, N]``, averaged; a row that is constant correlates with nothing."""
    return 1 - (_standardised(student) * _standardised(teacher)).sum(dim=1).mean()


def _standardised(rows: Tensor) -> Tensor:
    """Rows less their mean, with unit length; zero where only rounding tells them from a constant."""
    centred = rows - rows.mean(dim=1, keepdim=True)
    lengths = centred.norm(dim=1, keepdim=True)
    varied = lengths > 64 * torch.finfo(rows.dtype).eps * rows.norm(dim=1, keepdim=True)
    return torch.where(varied, centred / torch.where(varied, lengths, 1), 0)


def cross_entropy(student: Tensor, classes: Tensor, labels: Tensor, scale: Tensor | float) -> Tensor:
    """Classification of unit-length embeddings ``[B, E]`` by their scaled cosines to class vectors ``[C, E]``.

    ``labels`` are int64 ``[B]``. NormFace, Wang et al., 1704.06369: no bias, as embeddings are compared by direction.
    """
    return F.cross_entropy(scale * student @ F.normalize(classes, dim=1).T, labels)
