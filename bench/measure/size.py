"""Sizes: of the student as the paper counts it, and of all that must run to embed one image.

MB = parameters * 4 / 2^20 (float32), as in the paper. The logit scale belongs to the loss and is not counted.
"""

from torch import nn


def parameters(module: nn.Module) -> int:
    """Number of parameters."""
    return sum(p.numel() for p in module.parameters())


def megabytes(count: int) -> float:
    """MB (2^20 bytes) of ``count`` float32 parameters."""
    return count * 4 / 2**20
