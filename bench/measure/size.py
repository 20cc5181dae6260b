"""Sizes: of the student as the paper counts it, and of all that must run to embed one image.

MB = parameters * 4 / 2^20 (float32), as in the paper. The logit scale belongs to the loss and is not counted.
"""

import torch
from torch import nn

from bench import paper
from students import Dims, build


def parameters(module: nn.Module) -> int:
    """Number of parameters."""
    return sum(p.numel() for p in module.parameters())


def megabytes(count: int) -> float:
    """MB (2^20 bytes) of ``count`` float32 parameters."""
    return count * 4 / 2**20


def paper_sizes() -> list[dict]:
    """The paper's eleven sizes beside those of our full-size students, counted on the meta device."""
    rows = []
    for table in paper.tables():
        for student, printed in table.size_mb.items():
            count = full_size_parameters(student, table)
            rows.append(
                {
                    "dataset": table.dataset,
                    "student": student,
                    "parameters": count,
                    "size_mb": megabytes(count),
                    "paper_mb": float(printed),
                }
            )
    return rows


def full_size_parameters(student: str, table: paper.Table) -> int:
    """Parameters of the full-size student for one of the paper's tables."""
    with torch.device("meta"):
        return parameters(build(student, Dims(table.features), table.kind))
