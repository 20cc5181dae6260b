"""How precisely a teacher's pass and a student's training compute: ``--precision`` on a device."""

from contextlib import AbstractContextManager

import torch

from bench.kit import device as devices


class Device:
    """A device with the precisions of the teacher's pass and of the students' training.

    ``auto`` is fp32 on a CPU, where bfloat16 may be many times slower; on CUDA the teacher runs in bf16, students train
    in tf32. ``bf16`` trains with bfloat16 forward passes over float32 weights. Weights, losses, similarities and the
    optimiser's state are kept in float32 in any case; CUDA multiplies such matrices in TF32, unless all is ``fp32``.
    """

    def __init__(self, device: torch.device, teacher_precision: str, precision: str):
        self.torch, self.teacher_precision, self.precision = device, teacher_precision, precision
        self.mixed = precision == "bf16"
        if device.type == "cuda":
            torch.cuda.set_device(device)
            fast = precision in ("tf32", "bf16")
            torch.backends.cuda.matmul.allow_tf32 = fast
            torch.backends.cudnn.allow_tf32 = fast
            torch.backends.cudnn.benchmark = True

    @classmethod
    def of(cls, name: str, precision: str) -> "Device":
        """The device called ``auto``, ``cpu``, ``cuda`` or ``cuda:N``, which this process uses from now on.

        Raises :class:`~bench.kit.device.DeviceError`.
        """
        return cls(*devices.find(name, precision))

    def teacher_autocast(self) -> AbstractContextManager:
        """Surrounds a teacher's forward pass."""
        return torch.autocast(self.torch.type, torch.bfloat16, enabled=self.teacher_precision == "bf16")

    def student_autocast(self) -> AbstractContextManager:
        """Surrounds a student's forward pass."""
        return torch.autocast(self.torch.type, torch.bfloat16, enabled=self.mixed)

    def described(self) -> dict:
        """What a record keeps of it."""
        precision = {"teacher": self.teacher_precision, "training": self.precision}
        libraries = {"cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version()}
        facts = {"device": devices.name_of(self.torch), "precision": precision, "threads": torch.get_num_threads()}
        return facts | (libraries if self.torch.type == "cuda" else {})
