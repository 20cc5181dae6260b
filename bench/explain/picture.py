"""A picture that explains one case: where teacher and student look, and which images they take for alike.

Above, a few held-out images under the teacher's and the student's map. Below, the images nearest to a query under both;
for captions also the caption that each ranks first. The images are the same for every case of a dataset, so that cases
can be compared. A picture shows images of its dataset: whether it may be published is for the caller to say.
"""

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from bench.explain.drawing import ACROSS, Contents, Maps, Neighbours, draw
from bench.features.columns import Features, Rows
from bench.features.extract import TeacherFeatures
from bench.kit.environment import usable_cores
from bench.kit.files import write_atomically
from bench.measure.model import embed
from bench.plan.case import Case
from students import Student
from teachers import Teacher, attended, fitted

SEED = 0  # of the draw of images
LOOKED_AT, QUERIES, NEAREST = 4, 3, ACROSS - 1
# Pixels of a shown image, at most, and colours of the file (None: all of them): the first that is small enough.
QUALITIES = ((128, None), (128, 256), (96, 256), (72, 256), (48, 256))
LARGEST_BYTES = 400_000
# What a teacher's map is, unless its ``map_meaning`` says something else.
ATTENTION = "attention of its last layer to the patches, mean over heads"


def drawn(count: int) -> tuple[list[int], list[int]]:
    """Rows of the images that are looked at, and of the queries, of ``count`` held-out ones: the same at each call.

    Raises ``ValueError`` where there are too few.
    """
    if count < LOOKED_AT + QUERIES:
        raise ValueError(f"a picture takes at least {LOOKED_AT + QUERIES} held-out images, and there are {count}")
    order = torch.randperm(count, generator=torch.Generator().manual_seed(SEED)).tolist()
    return order[:LOOKED_AT], order[LOOKED_AT : LOOKED_AT + QUERIES]


def nearest(embeddings: Tensor, queries: list[int], count: int) -> Tensor:
    """The ``count`` rows with the largest cosine to each query, best first, without the query: int64 ``[Q, count]``.

    ``embeddings [N, E]`` have unit length. Of equal ones the first comes first; fewer than ``count`` others: all.
    """
    similarity = embeddings[queries] @ embeddings.T
    similarity[range(len(queries)), queries] = -math.inf
    order = similarity.argsort(dim=1, descending=True, stable=True)
    return order[:, : min(count, len(embeddings) - 1)].cpu()


def activation_map(maps: Tensor) -> Tensor:
    """Sum over channels of squared activations, ``[B, C, H, W] -> [B, H, W]``: Zagoruyko and Komodakis,
    1612.03928, section 3.1, F²_sum."""
    return maps.square().sum(dim=1)


@torch.no_grad()
def student_maps(student: Student, case: Case, features: Features, rows: list[int], teacher_view: Tensor) -> Maps:
    """The student's own attention; or the activations of what its trunk pools; or no map.

    A student that reads features sees them where the teacher saw its patches, so its map lies over ``teacher_view``.
    """
    student.eval()
    with _pooled_activations(student) as activations:
        _, attention = student.image(features.images(Rows(torch.tensor(rows), features.device), case.reads))
    pixels = teacher_view if case.reads != "pixels" else features.split.pixels[rows]
    if attention is not None:
        return Maps(_grid(attention), pixels, "its own attention")
    if activations:
        meaning = "squared activations of its last feature map, summed over channels"
        return Maps(activation_map(activations[-1]).float().cpu(), pixels, meaning)
    return Maps(None, pixels, "reads the pooled\nfeature: no map" if case.reads == "pooled" else "no map")


def picture(path: Path, case: Case, student: Student, distilled: TeacherFeatures, teacher: Teacher) -> None:
    """Write the picture of ``case`` as a PNG. Raises ``ValueError`` where there are too few held-out images."""
    test = distilled.test
    looked_at, queries = drawn(len(test))
    with ThreadPoolExecutor(usable_cores()) as threads:
        view = test.split.view(looked_at, teacher.transform, threads)
    cut = {name: value for name, value in teacher.transform.items() if name not in ("mean", "std")}
    view = fitted(view, **cut).to(torch.uint8)
    of_teacher = _teacher_maps(teacher, view, test, looked_at)
    maps = of_teacher, student_maps(student, case, test, looked_at, view)
    texts = (test.text_joint, embed(student, case, test, captions=True)) if case.kind == "captions" else (None, None)
    embeddings = zip((test.joint, embed(student, case, test)), texts, strict=True)
    neighbours = tuple(_neighbours(*each, queries) for each in embeddings)
    contents = Contents(case, test.split, SEED, looked_at, queries, maps, neighbours)
    for side, colours in QUALITIES:
        image = draw(contents, side, colours)
        if len(image) <= LARGEST_BYTES:
            break
    write_atomically(path, lambda temporary: temporary.write_bytes(image))


def _teacher_maps(teacher: Teacher, view: Tensor, test: Features, rows: list[int]) -> Maps:
    """Where the teacher looks: as it is stored, or as it looks now where no loss needed it; or no map."""
    if "attention" in test:
        attention = test.column("attention").take(Rows(torch.tensor(rows), test.device))
    else:
        attention = attended(teacher, view.to(test.device)).attention
    if attention is None:
        return Maps(None, view, "no map")
    return Maps(_grid(attention), view, getattr(teacher, "map_meaning", ATTENTION))


def _neighbours(images: Tensor, texts: Tensor | None, queries: list[int]) -> Neighbours:
    captions = None if texts is None else (images[queries] @ texts.T).argmax(dim=1).cpu()
    return Neighbours(nearest(images, queries, NEAREST), captions)


@contextmanager
def _pooled_activations(student: Student) -> Iterator[list[Tensor]]:
    """Collect what a convolutional trunk's last pooling reads, ``[B, C, H, W]``; nothing for other students."""
    activations: list[Tensor] = []
    pooling = getattr(getattr(student.image_tower, "trunk", None), "global_pool", None) or nn.Identity()
    hook = pooling.register_forward_pre_hook(lambda _, inputs: activations.append(inputs[0]))
    try:
        yield activations
    finally:
        hook.remove()


def _grid(attention: Tensor) -> Tensor:
    """Maps over patches ``[B, P]``, P a square, as ``[B, G, G]`` on the CPU."""
    return attention.float().cpu().unflatten(1, (math.isqrt(attention.shape[1]), -1))
