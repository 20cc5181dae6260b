"""Whether a teacher of one's own keeps to the interface of :class:`teachers.Teacher`: it is shown two images of noise, and two
captions where it reads any."""

import torch
from torch import Tensor

from bench.kit.errors import UserError
from teachers import ImageFeatures, Teacher, TextFeatures, attended

FACTS = ("size", "scale", "reduce_to", "transform", "tokenizer", "vision", "image")
OF_IMAGES = {"pooled": 2, "patches": 3, "attention": 2, "joint": 2}  # dimensions
OF_CAPTIONS = {"pooled": 2, "tokens": 3, "lengths": 1, "joint": 2}
CAPTIONS = ("a cat", "two dogs that run after a red ball")
COUNT = 2  # images or captions
NEAR = 1e-2  # a length or a sum of 1, also in bfloat16


@torch.no_grad()
def require(name: str, teacher: Teacher, reads_text: bool = False) -> None:
    """Raise :class:`UserError` naming the file of the teacher called ``name`` and the first thing that breaks the interface."""

    def expect(good: bool | Tensor, what: str) -> None:
        if not good:
            raise UserError(f"teachers/{name}.py: {what}; teachers/__init__.py describes the interface")

    def expect_parts(of: str, dimensions: dict[str, int], features: object, again: object) -> None:
        for part, count in dimensions.items():
            value = getattr(features, part)
            expect(isinstance(value, Tensor), f"{part} of {of} is {type(value).__name__}, expected a tensor")
            good = value.dim() == count and len(value) == COUNT
            expect(good, f"{part} of {COUNT} {of} is {[*value.shape]}, expected {count} dimensions, {of} first")
            expect(value.isfinite().all(), f"{part} of {of} is not finite: NaN or infinite numbers are in it")
            expect(
                torch.equal(value, getattr(again, part)), f"{part} of the same {of} differs from one call to the next"
            )
        lengths = features.joint.float().norm(dim=1)
        expect(
            ((lengths - 1).abs() < NEAR).all(),
            f"joint of {of} has the length {lengths[0]:.3g}, expected 1: teachers.unit makes it so",
        )

    for fact in (*FACTS, *(("text", "lengths") if reads_text else ())):
        expect(hasattr(teacher, fact), f"the teacher has no '{fact}'")
    expect(isinstance(teacher.size, int), f"size is {teacher.size!r}, expected a side in pixels, a whole number")
    shape = COUNT, 3, teacher.size, teacher.size
    pixels = torch.randint(256, shape, generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    features, again = (attended(teacher, pixels) for _ in range(2))
    expect(isinstance(features, ImageFeatures), f"image() returns {type(features).__name__}, expected ImageFeatures")
    expect_parts("images", OF_IMAGES, features, again)
    count, width = features.patches.shape[1:]
    expect(round(count**0.5) ** 2 == count, f"there are {count} patches, expected a square grid")
    expect(
        width == features.pooled.shape[1],
        f"patches are {width} wide, expected the {features.pooled.shape[1]} of pooled",
    )
    expect(features.attention.shape[1] == count, f"attention is over {features.attention.shape[1]} of {count} patches")
    sums = features.attention.float().sum(dim=1)
    expect(((sums - 1).abs() < NEAR).all(), f"attention over patches sums to {sums[0]:.3g}, expected 1")
    if not reads_text:
        return
    texts, again, alone = (teacher.text(captions) for captions in (CAPTIONS, CAPTIONS, CAPTIONS[:1]))
    expect(isinstance(texts, TextFeatures), f"text() returns {type(texts).__name__}, expected TextFeatures")
    expect_parts("captions", OF_CAPTIONS, texts, again)
    expect(
        texts.joint.shape[1] == features.joint.shape[1],
        f"joint of captions is {texts.joint.shape[1]} wide, expected the {features.joint.shape[1]} of images",
    )
    most = texts.tokens.shape[1]
    expect(
        ((texts.lengths > 0) & (texts.lengths <= most)).all(),
        f"lengths of captions are {texts.lengths.tolist()}, expected 1 to the {most} of tokens",
    )
    expect(
        torch.equal(texts.lengths, teacher.lengths(CAPTIONS)), "lengths() differs from the lengths that text() returns"
    )
    expect(
        torch.allclose(alone.joint[0].float(), texts.joint[0].float(), atol=NEAR),
        "joint of a caption depends on longer ones beside it: padding must not count",
    )
