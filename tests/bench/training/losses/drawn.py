"""Embeddings, class logits and maps drawn at random, the same on every call, and awkward ones."""

from functools import partial

import torch
from torch import Tensor
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


def class_inputs(number: int) -> list[Tensor]:
    """A student's class logits, a teacher's and labels, of ``number``'s own batch and classes, with faults."""
    generator = torch.Generator().manual_seed(number)
    batch, classes = [1, 2, 8, 33, 512][number % 5], [2, 3, 12, 200][number % 4]
    student, teacher = 5 * torch.randn(2, batch, classes, generator=generator, dtype=torch.float64)
    labels = torch.randint(classes, (batch,), generator=generator)
    fault = number // 4 % 8
    if fault == 1:
        student = 3 * teacher + 7
    elif fault == 2:
        student[:] = student[:, :1]  # no class is likelier
    elif fault == 3:
        teacher[:] = teacher[:, :1]
    elif fault == 4:
        student, teacher = 20 * student, 20 * teacher  # certain
    elif fault == 5:
        student, teacher = 1e3 * student, 1e-6 * teacher
    elif fault == 6:
        teacher = -student.half().double()
    elif fault == 7:
        labels = teacher.argmin(dim=1)
    return [student.requires_grad_(), teacher, labels]


def map_inputs(number: int) -> list[Tensor]:
    """A student's last map, the head's weight and bias and a teacher's patches, of ``number``'s own sizes, with faults."""
    generator = torch.Generator().manual_seed(number)
    batch, width, side = [1, 2, 8, 33][number % 4], [1, 3, 16][number % 3], [1, 2, 4, 7, 16][number % 5]
    height = [1, 4, 7][number // 5 % 3]
    drawn = partial(torch.randn, generator=generator, dtype=torch.float64)
    last_map, teacher = drawn(batch, 2 * width, height, height), drawn(batch, side**2, width)
    weight, bias = 0.02 * drawn(width, 2 * width), drawn(width)
    fault = number // 4 % 6
    if fault == 1:
        last_map[:, 0] = 0.0
    elif fault == 2:
        last_map[:] = last_map[:, :, :1, :1]  # every place says the same
    elif fault == 3:
        teacher = teacher[:, :1].expand_as(teacher)
    elif fault == 4:
        last_map, teacher = 1e6 * last_map, 1e-6 * teacher
    elif fault == 5:
        teacher = teacher.half().double()
    return [*(leaf.requires_grad_() for leaf in (last_map, weight, bias)), teacher]


def inputs(number: int) -> list[Tensor]:
    """Images and texts of a student, its factor, and a teacher's, of ``number``'s own batch and width, with faults."""
    generator = torch.Generator().manual_seed(number)
    batch, width = [2, 3, 8, 33, 1100][number % 5], [2, 5, 16][number % 3]
    images, texts, *teacher = torch.randn(4, batch, width, generator=generator, dtype=torch.float64)
    teacher = [functional.normalize(side, dim=1) for side in teacher]
    fault = number % 8
    if fault == 1:
        images[0], teacher[0][-1] = 0.0, 0.0
    elif fault == 2:
        images[:], texts[:] = images[:1], texts[:1]
    elif fault == 3:
        teacher = [side[:1].expand_as(side) for side in teacher]
    elif fault == 4:
        images, texts = teacher[0].clone(), teacher[1].clone()
    elif fault == 5:
        images, texts = 1e6 * images, 1e-6 * texts
    elif fault == 6:
        teacher = [side.half().double() for side in teacher]
    elif fault == 7:
        images = -teacher[0]
    scale = torch.tensor([1 / 0.07, 100.0, 1.0][number % 3], dtype=torch.float64)
    return [*(leaf.requires_grad_() for leaf in (images, texts, scale)), *teacher]
