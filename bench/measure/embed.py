"""Embeds the images and the captions of a split with a student.

With ``mixed`` its forward pass runs in bfloat16, as in training and in what is timed as the deployed path.
"""

import torch
from torch import Tensor

from bench.features.columns import Features, Rows, in_order
from bench.plan.case import Case
from students import Student

CHUNK = 512


@torch.no_grad()
def embed(student: Student, case: Case, features: Features, mixed: bool = False) -> Tensor:
    """Unit-length embeddings of all images, float32 ``[N, E]``."""
    student.eval()
    rows = Rows(torch.arange(len(features)), features.device)

    def fetch(start: int) -> tuple[Tensor]:
        return (features.images(Rows.sliced(rows, start, start + CHUNK), case.reads),)

    resident = features.resident(case.reads)
    inputs = in_order(range(0, len(rows), CHUNK), fetch, features.device, resident)
    with torch.autocast(features.device.type, torch.bfloat16, enabled=mixed):
        return torch.cat([student.image(part)[0] for (part,) in inputs])


@torch.no_grad()
def embed_captions(student: Student, case: Case, features: Features, mixed: bool = False) -> Tensor:
    """Unit-length embeddings of all captions, float32 ``[C, E]``."""
    student.eval()
    rows = Rows(torch.arange(len(features.split.captions)), features.device)

    def fetch(start: int) -> tuple[Tensor, ...]:
        return features.texts(Rows.sliced(rows, start, start + CHUNK), case.text_reads)

    resident = features.resident(f"text_{case.text_reads}")
    inputs = in_order(range(0, len(rows), CHUNK), fetch, features.device, resident)
    with torch.autocast(features.device.type, torch.bfloat16, enabled=mixed):
        return torch.cat([student.text(*part) for part in inputs])
