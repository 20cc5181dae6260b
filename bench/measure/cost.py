"""What a student and its teacher cost to run: size, MACs, latency, throughput, memory and energy.

The student's own size and MACs stand beside those of all that must run to embed an image, the deployed path. The rest is
the deployed path's alone, from uint8 pixels on the device to embeddings, in the session's precision: the teacher's
forward pass as it made the features (by autocast, weights in float32), the student's as it trained. Throughput, memory
and energy are those of batches of 64. Decoding images and bringing them to the device are left out on purpose: they are
the same for all students.
"""

from collections.abc import Callable

import torch
from torch import nn

from bench.features.columns import Rows
from bench.features.extract import TeacherFeatures
from bench.features.precision import Device
from bench.measure.energy import energy_mj_per_image
from bench.measure.flops import macs
from bench.measure.size import megabytes, parameters
from bench.measure.timing import images_per_second, inference_memory_mb, latency_ms
from bench.plan.case import Case
from students import Student
from teachers import Teacher

BATCH = 64


def student_cost(
    case: Case, student: Student, teacher: Teacher, distilled: TeacherFeatures, device: Device
) -> dict[str, float | None]:
    """Size and MACs of the student, and of all that must run to embed one image; what that takes to run."""
    pixels = distilled.test.split.pixels[:BATCH].to(device.torch)
    tower = student.image_tower
    modules = [tower] if case.reads == "pixels" else [tower, teacher.vision()]
    if case.reads != "pixels" and distilled.image_pca:
        modules.append(distilled.image_pca)
    own = distilled.test.images(Rows(torch.arange(1), device.torch), case.reads)
    deployed = deployed_path(case, student, teacher, distilled, device)
    return {
        "parameters": parameters(student),
        "size_mb": megabytes(parameters(student)),
        "deployed_mb": megabytes(sum(parameters(module) for module in modules)),
        "macs": macs(lambda x: student.image(x)[0], [tower], own),
        "deployed_macs": macs(deployed, modules, pixels[:1]),
    } | _running_cost(deployed, modules, pixels, device)


def teacher_cost(teacher: Teacher, distilled: TeacherFeatures, device: Device) -> dict[str, float | None]:
    """The same of the teacher's image side."""
    pixels, vision = distilled.test.split.pixels[:BATCH].to(device.torch), teacher.vision()
    megabyte = megabytes(parameters(vision))
    work = macs(lambda x: teacher.image(x).pooled, [vision], pixels[:1])

    def run(images: torch.Tensor) -> object:
        with device.teacher_autocast():
            return teacher.image(images)

    return {
        "parameters": parameters(vision),
        "size_mb": megabyte,
        "deployed_mb": megabyte,
        "macs": work,
        "deployed_macs": work,
    } | _running_cost(run, [vision], pixels, device)


@torch.no_grad()
def _running_cost(
    run: Callable[[torch.Tensor], object], modules: list[nn.Module], pixels: torch.Tensor, device: Device
) -> dict[str, float | None]:
    """Memory, latency, throughput and energy of ``run``, which uses ``modules``, on pixels that are on the device."""
    batch = _filled(pixels)
    # First, because it warms up what comes after. It makes its input, so that this counts too.
    memory = inference_memory_mb(lambda: run(batch.clone()), modules, device.torch)
    latency = latency_ms(lambda: run(batch), device.torch, repeats=5)
    work = (lambda: run(batch), BATCH, latency / 1000, device.torch)
    return {
        "latency_ms_batch_1": latency_ms(lambda: run(pixels[:1]), device.torch, repeats=15),
        "latency_ms_batch_64": latency,
        "images_per_second": images_per_second(*work),
        "inference_memory_mb": memory,
        "energy_mj_per_image": energy_mj_per_image(*work),
    }


def deployed_path(
    case: Case, student: Student, teacher: Teacher, distilled: TeacherFeatures, device: Device
) -> Callable[[torch.Tensor], torch.Tensor]:
    """Everything that must run to embed images: pixels uint8 ``[B, 3, H, W]`` to embeddings ``[B, E]``."""

    def embed_pixels(pixels: torch.Tensor) -> torch.Tensor:
        inputs = pixels
        if case.reads != "pixels":
            with device.teacher_autocast():
                said = teacher.image(pixels)
            tokens = said.pooled if case.reads == "pooled" else torch.cat([said.pooled[:, None], said.patches], dim=1)
            inputs = distilled.image_pca(tokens.float()) if distilled.image_pca else tokens.float()
        with device.student_autocast():
            return student.image(inputs)[0]

    return embed_pixels


def _filled(pixels: torch.Tensor) -> torch.Tensor:
    """A batch of 64, images repeated where there are fewer."""
    return pixels.repeat(-(-BATCH // len(pixels)), 1, 1, 1)[:BATCH]
