"""Embeds the images or the captions of a split with a student."""

import torch
from torch import Tensor

from bench.features.columns import Features, Rows, in_order
from bench.plan.case import Case
from students import Student

CHUNK = 512


@torch.no_grad()
def embed(student: Student, case: Case, features: Features, mixed: bool = False, captions: bool = False) -> Tensor:
    """Unit-length embeddings of all images, float32 ``[N, E]``, or of all captions, ``[C, E]``.

    With ``mixed`` the forward pass runs in bfloat16, as in training and in what is timed as the deployed path.
    """
    student.eval()
    rows = Rows(torch.arange(len(features.split.captions if captions else features)), features.device)

    def fetch(start: int) -> tuple[Tensor, ...]:
        part = rows[start : start + CHUNK]
        return features.texts(part, case.text_reads) if captions else (features.images(part, case.reads),)

    resident = features.resident(f"text_{case.text_reads}" if captions else case.reads)
    inputs = in_order(range(0, len(rows), CHUNK), fetch, features.device, resident)
    with torch.autocast(features.device.type, torch.bfloat16, enabled=mixed):
        return torch.cat([student.text(*part) if captions else student.image(*part)[0] for part in inputs])


def embed_captions(student: Student, case: Case, features: Features, mixed: bool = False) -> Tensor:
    """:func:`embed` of the captions."""
    return embed(student, case, features, mixed, captions=True)
