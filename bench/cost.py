"""What a student and its teacher cost to run: size, MACs and latency, of the student and of all that must run.

Latency is that of the session's precision: the teacher's forward pass as it made the features, the student's as it trained.
"""

from collections.abc import Callable

import torch

from bench.case import Case
from bench.device import Device
from bench.features import Rows
from bench.measure.flops import macs
from bench.measure.size import megabytes, parameters
from bench.measure.timing import latency_ms
from bench.teacher_pass import Distilled
from students import Student
from teachers import Teacher

BATCH = 64


def student_cost(
    case: Case, student: Student, teacher: Teacher, distilled: Distilled, device: Device
) -> dict[str, float]:
    """Size, MACs and latency of the student, and of all that must run to embed one image."""
    pixels = distilled.test.split.pixels[:BATCH].to(device.torch)
    tower = student.image_tower
    modules = [tower] if case.reads == "pixels" else [tower, teacher.vision()]
    if case.reads != "pixels" and distilled.image_pca:
        modules.append(distilled.image_pca)
    own = distilled.test.images(Rows(torch.arange(1), device.torch), case.reads)
    deployed = deployed_path(case, student, teacher, distilled, device)
    with torch.no_grad():
        return {
            "parameters": parameters(student),
            "size_mb": megabytes(parameters(student)),
            "deployed_mb": megabytes(sum(parameters(module) for module in modules)),
            "macs": macs(lambda x: student.image(x)[0], [tower], own),
            "deployed_macs": macs(deployed, modules, pixels[:1]),
            "latency_ms_batch_1": latency_ms(lambda: deployed(pixels[:1]), device.torch, repeats=15),
            "latency_ms_batch_64": latency_ms(lambda: deployed(_filled(pixels)), device.torch, repeats=5),
        }


def teacher_cost(teacher: Teacher, distilled: Distilled, device: Device) -> dict[str, float]:
    """Size, MACs and latency of the teacher's image side."""
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
        "latency_ms_batch_1": latency_ms(lambda: run(pixels[:1]), device.torch, repeats=15),
        "latency_ms_batch_64": latency_ms(lambda: run(_filled(pixels)), device.torch, repeats=5),
    }


def deployed_path(
    case: Case, student: Student, teacher: Teacher, distilled: Distilled, device: Device
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
