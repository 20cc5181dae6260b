"""Embeds a split with a student, and scores a student or a teacher by the same protocol."""

import torch
from torch import Tensor

from bench.case import Case
from bench.features import Distilled, Features
from bench.measure.accuracy import in_batch_accuracy, knn_top1, match_ranks, retrieval
from students import Student

CHUNK = 512


def embed_text(student: Student, reads: str, features: Features, rows: torch.Tensor) -> torch.Tensor:
    """Student embeddings ``[len(rows), E]`` of captions, cut to the longest of them."""
    if reads == "pooled":
        return student.text(features.text_pooled[rows])
    lengths = features.text_lengths[rows]
    return student.text(features.text_tokens[rows][:, : int(lengths.max())], lengths)


@torch.no_grad()
def embed(student: Student, case: Case, features: Features, captions: bool) -> tuple[Tensor, Tensor | None]:
    """Unit-length embeddings of all images ``[N, E]`` and, if asked for, of all captions ``[C, E]``."""
    student.eval()
    inputs = features.read(case.reads)
    images = torch.cat([student.image(inputs[start : start + CHUNK])[0] for start in range(0, len(inputs), CHUNK)])
    if not captions:
        return images, None
    rows = torch.arange(len(features.text_pooled), device=images.device)
    return images, torch.cat([embed_text(student, case.text_reads, features, part) for part in rows.split(CHUNK)])


def score_student(student: Student, case: Case, distilled: Distilled) -> dict[str, float]:
    """The student's accuracies on held-out data."""
    if case.kind == "captions":
        images, texts = embed(student, case, distilled.test, captions=True)
        return score_captions(images, texts, distilled.test, case.batch_size)
    bank, _ = embed(student, case, distilled.train, captions=False)
    images, _ = embed(student, case, distilled.test, captions=False)
    return score_classes(bank, images, distilled, case.batch_size)


def score_teacher(case: Case, distilled: Distilled) -> dict[str, float]:
    """The teacher's own accuracies, by the student's protocol, on its unreduced embeddings."""
    test = distilled.test
    if case.kind == "captions":
        return score_captions(test.joint, test.text_joint, test, case.batch_size)
    return score_classes(distilled.train.joint, test.joint, distilled, case.batch_size)


def score_classes(bank: Tensor, images: Tensor, distilled: Distilled, batch: int) -> dict[str, float]:
    """k-NN from the training split, and the paper's in-batch accuracy of the self-similarity."""
    train, test = distilled.train.split, distilled.test.split
    ids = torch.arange(len(images), device=images.device)
    return {
        "knn_top1": knn_top1(bank, train.labels.to(bank.device), images, test.labels.to(images.device)),
        "paper_accuracy": in_batch_accuracy(match_ranks(images, images, ids, ids), len(images), batch),
    }


def score_captions(images: Tensor, texts: Tensor, test: Features, batch: int) -> dict[str, float]:
    """Recall in both directions with all captions, and the paper's accuracy with each image's first caption."""
    owner = test.split.owner.to(images.device)
    found = retrieval(images, texts, owner)
    ids = torch.arange(len(images), device=images.device)
    first = torch.searchsorted(owner, ids)
    ranks = match_ranks(images, texts[first], ids, ids)
    scores = {f"image_to_text_r{k}": value for k, value in found.image_to_text.items()}
    scores |= {f"text_to_image_r{k}": value for k, value in found.text_to_image.items()}
    return scores | {
        "image_to_text_median_rank": found.image_to_text_median_rank,
        "text_to_image_median_rank": found.text_to_image_median_rank,
        "paper_accuracy": in_batch_accuracy(ranks, len(images), batch),
    }
