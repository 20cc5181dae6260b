"""Embeddings drawn at random, the same on every call."""

import torch
from torch.nn import functional


def embeddings(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return functional.normalize(torch.randn(*shape, generator=generator, dtype=torch.float64), dim=-1)


def regular(*shape):
    """Unit-length embeddings that any machine and version computes alike: sines of 1, 2, 3 ..."""
    count = torch.arange(1, 1 + torch.Size(shape).numel(), dtype=torch.float64)
    return functional.normalize(count.sin().view(shape), dim=-1)


def regular_classes():
    """Class logits ``[5, 4]`` of a student, which asks for a gradient, and of a teacher, and labels ``[5]``, likewise."""
    student, teacher = 6 * regular(2, 5, 4)
    return [student.requires_grad_(), teacher, torch.arange(5) % 4]


def regular_map():
    """A student's last map ``[2, 4, 3, 3]``, weight ``[2, 4]`` and bias ``[2]`` of a head, which ask for gradients, and a teacher's
    patches ``[2, 16, 2]``, likewise."""
    sizes = (2, 4, 3, 3), (2, 4), (2,), (2, 16, 2)
    last_map, weight, bias, teacher = (regular(*size) for size in sizes)
    return [*(leaf.requires_grad_() for leaf in (last_map, weight, bias)), teacher]
