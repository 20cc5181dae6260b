"""What a student and its teacher cost to run: size, MACs, latency, throughput, memory and energy.

The student's own size and MACs stand beside those of all that must run to embed an image, the deployed path. The rest is
the deployed path's alone, from uint8 pixels on the device to embeddings, in the session's precision. Throughput, memory
and energy are those of batches of 64. Left out on purpose, as the same for all students: decoding images and bringing
them to the device.

Full-size students and teachers are counted on the meta device, without weights and without training.
"""

from collections.abc import Iterable
from functools import cache, partial

import torch
from torch import Tensor, nn

from bench import registry
from bench.features.columns import Rows
from bench.features.device import Device
from bench.features.extract import TeacherFeatures
from bench.measure.deployed import Deployed, TeacherAlone, megabytes, parameters
from bench.measure.flops import macs, macs_without_weights
from bench.measure.timing import energy_mj_per_image, images_per_second, inference_memory_mb, latency_ms
from bench.plan.case import Case
from students import Dims, Student, build
from teachers import Teacher
from teachers import load as load_teacher

BATCH = 64


def student_cost(
    case: Case, student: Student, teacher: Teacher, features: TeacherFeatures, device: Device
) -> dict[str, float | None]:
    """Size and MACs of the student, and of all that must run to embed one image; what that takes to run."""
    pixels = features.test.split.pixels[:BATCH].to(device.torch)
    own = features.test.images(Rows(torch.arange(1), device.torch), case.reads)
    deployed = Deployed(student, case.reads, teacher, features.image_pca, device)
    return {
        "parameters": parameters(student),
        "size_mb": megabytes(student),
        "deployed_mb": megabytes(deployed),
        "macs": macs(lambda x: student.image(x)[0], [student.image_tower], own),
        "deployed_macs": macs(deployed, [deployed], pixels[:1]),
    } | _running_cost(deployed, pixels, device)


def teacher_cost(teacher: Teacher, features: TeacherFeatures, device: Device) -> dict[str, float | None]:
    """The same of the teacher's image side."""
    pixels, alone = features.test.split.pixels[:BATCH].to(device.torch), TeacherAlone(teacher, device)
    work = macs(lambda x: teacher.image(x).pooled, [alone.vision], pixels[:1])
    return {
        "parameters": parameters(alone),
        "size_mb": megabytes(alone),
        "deployed_mb": megabytes(alone),
        "macs": work,
        "deployed_macs": work,
    } | _running_cost(alone, pixels, device)


@torch.no_grad()
def _running_cost(deployed: nn.Module, pixels: Tensor, device: Device) -> dict[str, float | None]:
    """Memory, latency, throughput and energy of ``deployed`` on pixels that are on the device."""
    batch = pixels.repeat(-(-BATCH // len(pixels)), 1, 1, 1)[:BATCH]  # images repeated where there are fewer
    # First, because it warms up what comes after. It makes its input, so that this counts too.
    memory = inference_memory_mb(lambda: deployed(batch.clone()), [deployed], device.torch)
    latency = latency_ms(lambda: deployed(batch), device.torch, repeats=5)
    work = (lambda: deployed(batch), BATCH, latency / 1000, device.torch)
    return {
        "latency_ms_batch_1": latency_ms(lambda: deployed(pixels[:1]), device.torch, repeats=15),
        "latency_ms_batch_64": latency,
        "images_per_second": images_per_second(*work),
        "inference_memory_mb": memory,
        "energy_mj_per_image": energy_mj_per_image(*work),
    }


def full_size(dataset: str, kind: str, name: str, width: int, teachers: Iterable[str]) -> dict:
    """A full-size student on features of ``width``: its ``parameters`` and ``size_mb``, and what is ``deployed`` by teacher.

    Deployed is all that must run to embed one image: ``student_macs``, ``megabytes`` and ``macs``. It is plain data.
    """
    with torch.device("meta"):
        student = build(name, Dims(width), kind).eval()
        reads = registry.constant("student", name, "READS")
        if reads == "pixels":
            side = registry.constant("dataset", dataset, "SIDE")
            image = torch.empty(1, 3, side, side)
            deployed = {"none needed": _counts(Deployed(student, reads), student, image, image)}
        else:
            deployed = {teacher: _with_teacher(student, reads, width, teacher) for teacher in teachers}
    return {"parameters": parameters(student), "size_mb": megabytes(student), "deployed": deployed}


def _with_teacher(student: Student, reads: str, width: int, name: str) -> dict:
    teacher = _teacher(name)
    image = torch.empty(1, 3, teacher.size, teacher.size)
    _, patches, own = teacher.image(image).patches.shape
    # Features wider than the student's pass through a PCA, a linear layer, first.
    reduction = None if own == width else nn.Linear(own, width)
    inputs = torch.empty((1, 1 + patches, width) if reads == "tokens" else (1, width))
    return _counts(Deployed(student, reads, teacher, reduction), student, inputs, image)


def _counts(deployed: Deployed, student: Student, inputs: Tensor, image: Tensor) -> dict:
    work = macs_without_weights(deployed, image)
    return {"student_macs": macs_without_weights(student.image, inputs), "megabytes": megabytes(deployed), "macs": work}


_teacher = cache(partial(load_teacher, weights="random"))  # on the meta device
