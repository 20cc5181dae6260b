"""Embeds a split with a student, and scores a student or a teacher by the same protocol."""

import torch
from torch import Tensor

from bench.case import Case
from bench.features import Features, Rows, in_order
from bench.measure.accuracy import in_batch_accuracy, knn_top1, match_ranks, retrieval
from bench.teacher_pass import Distilled
from students import Student

CHUNK = 512


@torch.no_grad()
def embed(student: Student, case: Case, features: Features) -> Tensor:
    """Unit-length embeddings of all images, ``[N, E]``."""
    student.eval()
    rows = Rows(torch.arange(len(features)), features.device)

    def fetch(start: int) -> tuple[Tensor]:
        return (features.images(Rows.sliced(rows, start, start + CHUNK), case.reads),)

    resident = features.resident(case.reads)
    inputs = in_order(range(0, len(rows), CHUNK), fetch, features.device, resident)
    return torch.cat([student.image(part)[0] for (part,) in inputs])


@torch.no_grad()
def embed_captions(student: Student, case: Case, features: Features) -> Tensor:
    """Unit-length embeddings of all captions, ``[C, E]``."""
    student.eval()
    rows = Rows(torch.arange(len(features.split.captions)), features.device)

    def fetch(start: int) -> tuple[Tensor, ...]:
        return features.texts(Rows.sliced(rows, start, start + CHUNK), case.text_reads)

    resident = features.resident(f"text_{case.text_reads}")
    inputs = in_order(range(0, len(rows), CHUNK), fetch, features.device, resident)
    return torch.cat([student.text(*part) for part in inputs])


def score_student(student: Student, case: Case, distilled: Distilled) -> dict[str, float]:
    """The student's accuracies on held-out data."""
    images = embed(student, case, distilled.test)
    if case.kind == "captions":
        return score_captions(images, embed_captions(student, case, distilled.test), distilled.test, case.batch_size)
    return score_classes(embed(student, case, distilled.train), images, distilled, case.batch_size)


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
