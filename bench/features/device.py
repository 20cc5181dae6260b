"""Which device computes, and how precisely: ``--device`` and ``--precision``."""

import time
from contextlib import AbstractContextManager

import torch

from bench.kit import environment
from bench.kit.errors import UserError

WORTH_A_TRY = 0.7  # of the time, and less
CACHED = 8 * 224 * 224  # pixels that pass through a network at once on a CPU: more of them leave its caches


def for_worker(name: str, worker: int | None, count: int) -> str:
    """The device ``name`` for one of several processes that share the work.

    ``worker`` is the number of this process (None: there is one), ``count`` how many CUDA devices the caller made visible.
    Workers take them in turn, unless a device was named.
    """
    if worker is None or count == 0 or name not in ("auto", "cuda"):
        return name
    return f"cuda:{worker % count}"


def find(name: str, precision: str) -> tuple[torch.device, str, str]:
    """A device, and the precisions of the teacher's pass and of training; nothing is set, and no memory taken, there.

    Raises :class:`UserError` where there is no such device.
    """
    try:
        device = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise UserError(f"--device {name}: expected auto, cpu, cuda or cuda:N")
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (device.index or 0) >= count:
            raise UserError(f"--device {name}: {count} CUDA devices are visible here; use --device cpu or auto")
        device = torch.device("cuda", device.index or 0)
    if precision == "auto":
        return device, *(("bf16", "tf32") if device.type == "cuda" else ("fp32", "fp32"))
    if precision == "tf32" and device.type == "cpu":
        raise UserError("--precision tf32 is for CUDA devices; on a CPU use fp32 or bf16")
    return device, precision, precision


def advice(name: str, precision: str) -> str:
    """What half a second of measuring says of bfloat16 on this CPU, where it speaks against ``precision``; else nothing.

    The flags of a CPU do not tell: one with AVX-512 BF16 took 1.55 times as long for a ViT-B/16 in bfloat16, and it depends
    on the number of threads. Nothing is switched by a stopwatch: precision decides figures.
    """
    device, _, chosen = find(name, precision)
    if device.type != "cpu":
        return ""
    share = bfloat16_share()
    if chosen == "bf16" and share > 1:
        return f"bf16 takes {share:.2f} times as long as fp32 here, by half a second of measuring: try --precision fp32"
    if precision == "auto" and share < WORTH_A_TRY:
        return f"bf16 takes {share:.2f} of the time of fp32 here, by half a second of measuring: try --precision bf16"
    return ""


def bfloat16_share(seconds: float = 0.5) -> float:
    """How long a block of a ViT-B/16 takes for 4 images in bfloat16 on this CPU, as a share of its time in float32."""
    with torch.random.fork_rng(devices=[]):
        block = torch.nn.TransformerEncoderLayer(768, 12, 3072, dropout=0.0, activation="gelu", batch_first=True)
        images = torch.randn(4, 197, 768)
    taken: dict[bool, list[float]] = {False: [], True: []}
    end = time.perf_counter() + seconds
    with torch.no_grad():
        while time.perf_counter() < end or len(taken[True]) < 2:  # the first pass is slower
            for mixed, times in taken.items():
                start = time.perf_counter()
                with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
                    block(images)
                times.append(time.perf_counter() - start)
    return min(taken[True]) / min(taken[False])


def images_at_once(device: torch.device, side: int, most: int) -> int:
    """How many images of ``side`` pixels pass through a network at once, at ``most``; reports/speed.md has what that gains."""
    return min(most, max(1, CACHED // side**2)) if device.type == "cpu" else most


def machine(device: torch.device) -> str:
    """What decides how long work on ``device`` takes in this process, but for its precision."""
    facts = {"device": name_of(device), "processor": environment.processor(), "threads": torch.get_num_threads()}
    return environment.machine(facts)


def name_of(device: torch.device) -> str:
    """The device as its maker calls it; "cpu"."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


class Device:
    """The device called ``auto``, ``cpu``, ``cuda`` or ``cuda:N``, which this process uses from now on, with its precisions.

    ``auto`` is fp32 on a CPU, where bfloat16 may be many times slower; on CUDA the teacher runs in bf16, students train
    in tf32. ``bf16`` trains with bfloat16 forward passes over float32 weights. Weights, losses, similarities and the
    optimiser's state are kept in float32 in any case; CUDA multiplies such matrices in TF32, unless all is ``fp32``. Raises
    :class:`UserError`.
    """

    def __init__(self, name: str, precision: str):
        self.torch, self.teacher_precision, self.precision = find(name, precision)
        self.mixed = self.precision == "bf16"
        if self.torch.type == "cuda":
            torch.cuda.set_device(self.torch)
            fast = self.precision in ("tf32", "bf16")
            torch.backends.cuda.matmul.allow_tf32 = fast
            torch.backends.cudnn.allow_tf32 = fast
            torch.backends.cudnn.benchmark = True

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
        facts = {"device": name_of(self.torch), "precision": precision, "threads": torch.get_num_threads()}
        return facts | (libraries if self.torch.type == "cuda" else {})
