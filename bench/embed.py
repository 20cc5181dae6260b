"""Embeds the images and the captions of a split with a student."""

import torch
from torch import Tensor

from bench.case import Case
from bench.features import Features, Rows, in_order
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
