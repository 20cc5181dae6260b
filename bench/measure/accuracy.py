"""Scores models on held-out data: students, their teacher and raw pixels, all by one protocol."""

from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from bench.features.extract import TeacherFeatures
from bench.measure.embed import embed, embed_captions
from bench.measure.fidelity import agreement, linear_cka, neighbour_overlap, similarity_kl
from bench.measure.in_batch import in_batch_accuracy, in_batch_curve
from bench.measure.knn import Knn, knn
from bench.measure.probe import linear_probe
from bench.measure.retrieval import DEPTHS, Retrieval, chance_recall, match_ranks, nearest, retrieval
from bench.measure.zero_shot import zero_shot
from bench.plan.case import Case
from students import Student


@dataclass(frozen=True)
class Embedded:
    """What a model makes of the data, unit length: held-out ``images [N, E]``; of classification data the ``bank [M, E]``
    of training images; of captions ``texts [C, E]`` and, where there are concepts, their ``prompts [P, E]``. ``scale`` is
    the factor on its cosines."""

    images: Tensor
    scale: float = 1.0
    bank: Tensor | None = None
    texts: Tensor | None = None
    prompts: Tensor | None = None


@dataclass(frozen=True)
class Scored:
    """A model's ``metrics``; what it ``answers``: of classification data the k-NN's class of each image, of captions the
    nearest caption of each image and the nearest image of each caption; its ``shuffled`` metrics, for which labels or
    captions were exchanged at random; its ``ranks [N]`` in the paper's matching; and facts about its linear ``probe``."""

    metrics: dict[str, float]
    answers: Tensor
    shuffled: dict[str, float]
    ranks: Tensor
    probe: dict | None = None


def embedded_by(
    student: Student, case: Case, distilled: TeacherFeatures, scale: float, mixed: bool = False
) -> Embedded:
    """What a student makes of the data; with ``mixed`` in bfloat16."""
    images = embed(student, case, distilled.test, mixed)
    if case.kind == "classification":
        return Embedded(images, scale, bank=embed(student, case, distilled.train, mixed))
    prompts = embed_captions(student, case, distilled.prompts, mixed) if distilled.prompts is not None else None
    return Embedded(images, scale, texts=embed_captions(student, case, distilled.test, mixed), prompts=prompts)


class Evaluation:
    """Scores a student in training after each epoch, and keeps what it made of the data last."""

    def __init__(self, student: Student, case: Case, distilled: TeacherFeatures, mixed: bool):
        self._embed = partial(embedded_by, student, case, distilled, mixed=mixed)
        self._distilled, self._last = distilled, None

    def __call__(self) -> dict[str, float]:
        """The headline accuracies of the student as it is now."""
        self._last = self._embed(scale=1.0)
        return headline(self._last, self._distilled)

    def embedded(self, scale: float) -> Embedded:
        """What the student made of the data when it was scored last; where it never was, as it is now."""
        return replace(self._last or self._embed(scale=scale), scale=scale)


def embedded_by_teacher(case: Case, distilled: TeacherFeatures) -> Embedded:
    """What the teacher makes of the data: its own embeddings, not reduced."""
    test = distilled.test
    if case.kind == "classification":
        return Embedded(test.joint, test.scale, bank=distilled.train.joint)
    prompts = distilled.prompts.text_joint if distilled.prompts is not None else None
    return Embedded(test.joint, test.scale, texts=test.text_joint, prompts=prompts)


def headline(found: Embedded, distilled: TeacherFeatures) -> dict[str, float]:
    """The accuracies that are followed over the epochs, in percent: k-NN, or recall in both directions."""
    if found.texts is None:
        return _classes(_knn(found, distilled))
    return _recalls(_retrieval(found, distilled))


def score(found: Embedded, distilled: TeacherFeatures, batch: int) -> Scored:
    """Everything that is measured of one model. ``batch`` is that of the paper's in-batch accuracy."""
    scored = (_score_classes if found.texts is None else _score_captions)(found, distilled)
    scored.metrics["paper_accuracy"] = in_batch_accuracy(scored.ranks, len(scored.ranks), batch)
    return scored


def knn_of_pixels(distilled: TeacherFeatures) -> dict[str, float]:
    """k-NN on the pixels themselves, of classification data."""

    def flat(pixels: Tensor) -> Tensor:
        return torch.nn.functional.normalize(pixels.to(distilled.test.device).float().flatten(1) - 127.5, dim=1)

    found = Embedded(flat(distilled.test.split.pixels), bank=flat(distilled.train.split.pixels))
    return _classes(_knn(found, distilled))


def fidelity(student: Embedded, scored: Scored, teacher: Embedded, own: Scored) -> dict[str, float]:
    """How alike a student and its teacher are on held-out data; that says nothing of whether they are right."""
    return {
        "neighbour_overlap_10": neighbour_overlap(student.images, teacher.images),
        "cka": linear_cka(student.images, teacher.images),
        "agreement_1": agreement(scored.answers, own.answers),
        "similarity_kl": similarity_kl(
            student.images, teacher.images, student.scale, teacher.scale, student.texts, teacher.texts
        ),
    }


def over_batches(scored: Scored) -> list[tuple[int, float]]:
    """The paper's accuracy in percent for each batch size."""
    return in_batch_curve(scored.ranks, len(scored.ranks))


def chance(distilled: TeacherFeatures) -> dict[str, float]:
    """What guessing scores in percent, by metric."""
    split = distilled.test.split
    if split.owner is None:
        return {"knn_top1": 100 / len(split.classes), "probe_top1": 100 / len(split.classes)}
    to_text, to_image = chance_recall(split.owner, 1)
    return {"image_to_text_r1": to_text, "text_to_image_r1": to_image}


def _score_classes(found: Embedded, distilled: TeacherFeatures) -> Scored:
    neighbours = _knn(found, distilled)
    train, labels = (part.split.labels.to(found.images.device) for part in (distilled.train, distilled.test))
    probe = linear_probe(found.bank, train, found.images, labels)
    metrics = _classes(neighbours) | {"probe_top1": probe.top1, "probe_top5": probe.top5}
    exchanged = labels[_shuffle(len(labels), labels.device)]
    shuffled = {
        "knn_top1": agreement(neighbours.predictions, exchanged),
        "probe_top1": agreement(probe.predictions, exchanged),
    }
    ids = torch.arange(len(labels), device=labels.device)
    ranks = match_ranks(found.images, found.images, ids, ids)
    facts = {"regularisation": probe.regularisation, "converged": probe.converged}
    return Scored(metrics, neighbours.predictions, shuffled, ranks, facts)


def _score_captions(found: Embedded, distilled: TeacherFeatures) -> Scored:
    images, texts, device = found.images, found.texts, found.images.device
    owner = distilled.test.split.owner.to(device)
    ranked = _retrieval(found, distilled)
    metrics = _recalls(ranked) | {"image_to_text_map_r": ranked.image_to_text_map_r}
    mixed = retrieval(images[_shuffle(len(images), device)], texts, owner)
    shuffled = {"image_to_text_r1": mixed.image_to_text[1], "text_to_image_r1": mixed.text_to_image[1]}
    if found.prompts is not None:
        concepts = distilled.test.split.concepts
        labels = concepts.labels.to(device)
        told = zero_shot(images, labels, found.prompts, concepts.prompt_classes.to(device))
        metrics |= {"zero_shot_top1": told.top1, "zero_shot_top5": told.top5}
    ids = torch.arange(len(images), device=device)
    first = torch.searchsorted(owner, ids)  # the paper's protocol has one caption for each image
    answers = torch.cat([nearest(images, texts), nearest(texts, images)])
    return Scored(metrics, answers, shuffled, match_ranks(images, texts[first], ids, ids))


def _knn(found: Embedded, distilled: TeacherFeatures) -> Knn:
    labels = [part.split.labels.to(found.images.device) for part in (distilled.train, distilled.test)]
    return knn(found.bank, labels[0], found.images, labels[1])


def _classes(neighbours: Knn) -> dict[str, float]:
    return {"knn_top1": neighbours.top1, "knn_top5": neighbours.top5}


def _retrieval(found: Embedded, distilled: TeacherFeatures) -> Retrieval:
    return retrieval(found.images, found.texts, distilled.test.split.owner.to(found.images.device))


def _recalls(ranked: Retrieval) -> dict[str, float]:
    scores = {f"image_to_text_r{k}": ranked.image_to_text[k] for k in DEPTHS}
    scores |= {f"text_to_image_r{k}": ranked.text_to_image[k] for k in DEPTHS}
    return scores | {
        "image_to_text_median_rank": ranked.image_to_text_median_rank,
        "text_to_image_median_rank": ranked.text_to_image_median_rank,
    }


def _shuffle(count: int, device: torch.device) -> Tensor:
    """The same random order every time."""
    return torch.randperm(count, generator=torch.Generator().manual_seed(0)).to(device)
