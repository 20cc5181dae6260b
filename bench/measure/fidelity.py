"""How alike a student and its teacher are on held-out data. Fidelity is not accuracy (Stanton et al., 2106.05945).

Ties and values that are not finite count against the student, as in the accuracies. The last functions are named by rows
of :mod:`bench.metrics`: each takes the student and its teacher as a :class:`bench.measure.model.Model`.
"""

import math

import torch
from torch import Tensor

from bench.measure import tiles
from bench.measure.model import Model
from bench.measure.retrieval import match_ranks
from bench.measure.search import top_scores
from bench.measure.tiles import percent_within

FAR_BELOW = -1e6  # a logit that no softmax sees, and finite, so that differences of two of them are 0


def neighbour_overlap(student: Tensor, teacher: Tensor, k: int = 10) -> float:
    """Percent of the k nearest neighbours that ``student [N, D]`` and ``teacher [N, E]`` share within one set.

    The sample itself is no neighbour, a duplicate of it is; in a set of at most k samples all others are neighbours.
    Of neighbours that tie for the teacher's k-th place the first count; those that tie for the student's are taken to be
    those that the teacher does not have, so a student that maps everything to one point scores 0. Chance is 100 k / (N - 1).
    """
    k = min(k, len(student) - 1)

    def without_self(scores: Tensor, rows: Tensor, columns: Tensor) -> None:
        scores.masked_fill_(columns == rows[:, None], -math.inf)

    teacher_scores, expected = top_scores(teacher, teacher, k, without_self, removed=1)

    def handicapped(scores: Tensor, rows: Tensor, columns: Tensor) -> None:
        without_self(scores, rows, columns)
        if columns.dim() > 1:
            scores.sub_(tiles.TIE * (columns[:, :, None] == expected[rows, None]).any(dim=2))
            return
        at = expected[rows] - columns[0]
        inside = (at >= 0) & (at < len(columns))
        scores.scatter_add_(1, at.clamp(0, len(columns) - 1), -tiles.TIE * inside.double())

    scores, neighbours = top_scores(student, student, k, handicapped, removed=1)
    finite = scores.isfinite()[:, :, None] & teacher_scores.isfinite()[:, None, :]
    shared = (neighbours[:, :, None] == expected[:, None, :]) & finite
    return 100 * int(shared.sum()) / (len(student) * k)


def linear_cka(student: Tensor, teacher: Tensor) -> float:
    """Linear centred kernel alignment of ``student [N, D]`` and ``teacher [N, E]``, in [0, 1].

    ||Y'X||_F^2 / (||X'X||_F ||Y'Y||_F) of the centred X and Y (Kornblith et al., 1905.00414, equation 5 and section 3),
    in float64 from D x E products. 0 where either side is constant, for which it is undefined, or not finite.
    """
    x, y = (side.double() - side.double().mean(dim=0) for side in (student, teacher))
    cross, own, other = x.T @ y, x.T @ x, y.T @ y
    # Unit-length embeddings that vary by less than float32 resolves are one point, whatever their noise looks like.
    if not all(product.trace().item() / len(x) > tiles.TIE**2 for product in (own, other)):
        return 0.0
    value = cross.norm().item() ** 2 / (own.norm().item() * other.norm().item())
    return min(value, 1.0) if math.isfinite(value) else 0.0


def agreement(first: Tensor, second: Tensor) -> float:
    """Percent of equal predictions, ``[N]`` each: agreement@1. A prediction of -1 (none) agrees with nothing."""
    return 100 * ((first == second) & (first >= 0)).double().mean().item()


def similarity_kl(
    student: Tensor,
    teacher: Tensor,
    student_scale: float,
    teacher_scale: float,
    student_texts: Tensor | None = None,
    teacher_texts: Tensor | None = None,
) -> float:
    """KL(teacher || student) in nats of the similarity distributions over the held-out set, mean over queries.

    A query's distribution is the softmax of scale times cosine over the whole gallery. With images alone, ``[N, D]`` and
    ``[N, E]``, the gallery is the set itself without the query; with texts, ``[C, D]`` and ``[C, E]``, it is the mean of
    image to text and text to image. Infinite where an embedding is not finite.
    """
    scales = (student_scale, teacher_scale)
    if student_texts is None or teacher_texts is None:
        return _kl((student, student), (teacher, teacher), scales, leave_out_self=True)
    to_text = _kl((student, student_texts), (teacher, teacher_texts), scales, leave_out_self=False)
    to_image = _kl((student_texts, student), (teacher_texts, teacher), scales, leave_out_self=False)
    return (to_text + to_image) / 2


def _kl(
    student: tuple[Tensor, Tensor], teacher: tuple[Tensor, Tensor], scales: tuple[float, float], leave_out_self: bool
) -> float:
    """Mean over the queries of sum_j P_j (t_j - s_j) - log sum exp t + log sum exp s, with P the softmax of t."""
    total = 0.0
    for rows in tiles.spans(len(student[0]), tiles.QUERIES):
        pairs = zip(
            tiles.similarity_tiles(student[0][rows], student[1]),
            tiles.similarity_tiles(teacher[0][rows], teacher[1]),
            strict=True,
        )
        highest = torch.full((len(student[0][rows]),), FAR_BELOW, dtype=torch.float64, device=student[0].device)
        mass, moment, student_mass = torch.zeros_like(highest), torch.zeros_like(highest), highest
        for (columns, s), (_, t) in pairs:
            for tile, scale in ((s, scales[0]), (t, scales[1])):
                tile.mul_(scale)
                if leave_out_self:
                    tile.diagonal(rows.start - columns.start).fill_(FAR_BELOW)
            student_mass = torch.logaddexp(student_mass, s.logsumexp(dim=1))
            raised = torch.maximum(highest, t.amax(dim=1))
            decay, weights = (highest - raised).exp(), (t - raised[:, None]).exp()
            mass = mass * decay + weights.sum(dim=1)
            moment = moment * decay + (weights * (t - s)).sum(dim=1)
            highest = raised
        total += (moment / mass - highest - mass.log() + student_mass).sum().item()
    mean = total / len(student[0])
    return max(mean, 0.0) if math.isfinite(mean) else math.inf


def shared_neighbours(student: Model, teacher: Model) -> float:
    """:func:`neighbour_overlap` of the held-out images."""
    return neighbour_overlap(student.images, teacher.images)


def teachers_nearest(student: Model, teacher: Model) -> dict[str, float]:
    """In percent, of how many held-out images the training image that is nearest by the teacher is the student's nearest, or
    among its 10 nearest.

    Training images with the same bytes are one. Ties count against the student; an image for which the teacher's scores
    are not finite is never hit. Chance is 100 k / M of M training images.
    """
    nearest, ids = teacher.nearest_of_bank, student.bank_ids
    ranks = match_ranks(student.images, student.bank, ids[nearest.clamp(min=0)], ids)
    ranks = ranks.masked_fill(nearest < 0, len(ids) + 1)
    return {f"teachers_nearest_{k}": percent_within(ranks, k, len(ids)) for k in (1, 10)}


def cka(student: Model, teacher: Model) -> float:
    """:func:`linear_cka` of the held-out images."""
    return linear_cka(student.images, teacher.images)


def same_answers(student: Model, teacher: Model) -> float:
    """:func:`agreement` of the predicted classes, or of the nearest captions and images."""
    return agreement(student.answers, teacher.answers)


def divergence(student: Model, teacher: Model) -> float:
    """:func:`similarity_kl`, each at its own scale."""
    images, scales, texts = ((getattr(student, part), getattr(teacher, part)) for part in ("images", "scale", "texts"))
    return similarity_kl(*images, *scales, *texts)
