"""Whether a teacher of one's own keeps to the interface of :class:`teachers.Teacher`: it is shown two images of noise."""

import torch
from torch import Tensor

from bench.kit.errors import UserError
from teachers import ImageFeatures, Teacher, attended

FACTS = ("size", "scale", "reduce_to", "transform", "tokenizer", "vision", "image")
DIMENSIONS = {"pooled": 2, "patches": 3, "attention": 2, "joint": 2}
COUNT = 2  # images
NEAR = 1e-2  # a length or a sum of 1, also in bfloat16


@torch.no_grad()
def require(name: str, teacher: Teacher) -> None:
    """Raise :class:`UserError` naming the file of the teacher called ``name`` and the first thing that breaks the interface."""

    def expect(good: bool | Tensor, what: str) -> None:
        if not good:
            raise UserError(f"teachers/{name}.py: {what}; teachers/__init__.py describes the interface")

    for fact in FACTS:
        expect(hasattr(teacher, fact), f"the teacher has no '{fact}'")
    shape = COUNT, 3, teacher.size, teacher.size
    pixels = torch.randint(256, shape, generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    features, again = (attended(teacher, pixels) for _ in range(2))
    expect(isinstance(features, ImageFeatures), f"image() returns {type(features).__name__}, expected ImageFeatures")
    for part, dimensions in DIMENSIONS.items():
        value = getattr(features, part)
        expect(isinstance(value, Tensor), f"{part} is {type(value).__name__}, expected a tensor")
        good = value.dim() == dimensions and len(value) == COUNT
        expect(good, f"{part} of {COUNT} images is {[*value.shape]}, expected {dimensions} dimensions, images first")
        expect(torch.equal(value, getattr(again, part)), f"{part} of the same images differs from one call to the next")
    count, width = features.patches.shape[1:]
    expect(round(count**0.5) ** 2 == count, f"there are {count} patches, expected a square grid")
    expect(
        width == features.pooled.shape[1],
        f"patches are {width} wide, expected the {features.pooled.shape[1]} of pooled",
    )
    expect(features.attention.shape[1] == count, f"attention is over {features.attention.shape[1]} of {count} patches")
    sums, lengths = features.attention.float().sum(dim=1), features.joint.float().norm(dim=1)
    expect(((sums - 1).abs() < NEAR).all(), f"attention over patches sums to {sums[0]:.3g}, expected 1")
    expect(
        ((lengths - 1).abs() < NEAR).all(),
        f"joint has the length {lengths[0]:.3g}, expected 1: teachers.unit makes it so",
    )
