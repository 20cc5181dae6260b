"""What the feature store costs and saves, as ratios taken in one run on one machine.

python -m bench speed --teacher dino                  full-size architecture with random weights
python -m bench speed --teacher dino --images 4096    more images than the default, which takes minutes

Two ratios: the teacher's pass with everything around it (reading, preparing, storing, digests) over a bare forward loop
of its image tower on the same images, prepared before; and a student's epoch with the teacher in the loop over the same
epoch on stored features. Both sides of a ratio alternate, and the median is taken.

A pass also costs something once, however many images it has: folders, and forward passes that tell shapes. Both sides
are timed on one image, too, so that this is told apart from what each image costs. Images alone are timed, since a
teacher's text tower cannot be run without its tokenizer; nor is its PCA, which is fitted on captions, too.
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from bench import registry
from bench.data.split import Split
from bench.features.columns import Batch, Features, Rows
from bench.features.extract import CHUNK, Needs, Pass, extract
from bench.features.precision import Device
from bench.kit import paths
from bench.kit.errors import UserError
from bench.kit.progress import Progress
from bench.measure.flops import macs
from bench.measure.timing import synchronise
from bench.plan import matrix
from bench.plan.case import Case
from bench.training.run import Run
from students import Dims, build
from teachers import Weights, load, prepare, sent

IMAGES = {"cpu": 32, "cuda": 2048}  # unless told: a run at full size takes minutes
ROUNDS = 3
HEADS = ("projection", "bottleneck", "attention", "cbam")


class LiveFeatures(Features):
    """Features without a store: the teacher runs on each batch of images, as in most published training loops."""

    def __init__(self, stored: Features, work: Pass):
        super().__init__(stored.split, dict(stored._sources), stored.scale, stored.device)
        self.work = work

    def batch(self, images: Rows, captions: Rows | None, reads: str, text_reads: str) -> Batch:
        said = self.work.images(sent(self.split.pixels[images.cpu], self.device), None)
        inputs = said["tokens" if reads == "tokens" else "pooled"].float()
        return Batch(inputs, said["attention"].float(), said["joint"].float())


def report(name: str, weights: str, count: int | None, device_name: str, precision: str) -> str:
    """Both ratios for a teacher over ``count`` random images (None: the device's ``IMAGES``), as text.

    Raises :class:`UserError` for weights that the teacher has not.
    """
    device = Device.of(device_name, precision)
    count = count or IMAGES[device.torch.type]
    try:
        teacher = load(name, Weights(weights)).to(device.torch)
    except ValueError as error:
        raise UserError(str(error)) from None
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (count, 3, teacher.size, teacher.size), dtype=torch.uint8, generator=generator)
    images = Split(pixels, labels=torch.zeros(count, dtype=torch.long))
    teacher.reduce_to = None  # its PCA is fitted on captions too, of which there are none here
    quiet, needs = Progress(None), Needs(True, False)
    work = Pass(f"speed-{name}", teacher, device.torch, device.teacher_precision, needs, quiet.say, quiet.task)
    alone = " (captions are not timed)" if registry.constant("teacher", name, "KIND") == "captions" else ""
    lines = [f"{name} ({weights}), {count} images of {teacher.size} px{alone}, {_machine(device)}"]
    stored, passes = _compare_passes(work, images, device)
    lines += passes
    lines += _compare_epochs(name, work, stored, device)
    return "\n".join(lines)


@dataclass(frozen=True)
class PassTimes:
    """Seconds of the bare loop and of the whole pass, over one image and over ``count`` images."""

    count: int
    bare_one: float
    pass_one: float
    bare: float
    whole: float

    @property
    def once(self) -> float:
        """Seconds of a pass that do not depend on the number of its images."""
        return self.pass_one - self.bare_one

    @property
    def ratio(self) -> float:
        """The pass over the bare loop, without what comes once."""
        return (self.whole - self.once) / self.bare

    @property
    def rate(self) -> float:
        """Images per second of the pass, without what comes once."""
        return self.count / (self.whole - self.once)

    def lines(self) -> list[str]:
        return [
            f"the same {self.count} images: bare forward loop over prepared tensors {self.bare:.2f} s, teacher's pass into "
            f"the store {self.whole:.2f} s: ratio {self.whole / self.bare:.3f}",
            f"of which {self.once:.2f} s come once with a pass of any length (folders, two examples that tell shapes, an "
            f"image of a second split): ratio over the images themselves {self.ratio:.3f}",
        ]


def _compare_passes(work: Pass, images: Split, device: Device) -> tuple[Features, list[str]]:
    one = replace(images, pixels=images.pixels[:1], identity="one image")
    inputs = [
        prepare(part.to(device.torch), *(work.teacher.transform[key] for key in ("size", "mean", "std")))
        for part in images.pixels.split(CHUNK)
    ]
    vision = work.teacher.vision()

    @torch.no_grad()
    def bare(parts: list[Tensor]) -> None:
        for part in parts:
            with work.mixed():
                vision(part)

    stored: list[Features] = []

    def whole(split: Split) -> None:
        with _elsewhere():
            stored[:] = [extract(work, split, one, digest="timed").train]

    sides = [partial(bare, [inputs[0][:1]]), partial(whole, one), partial(bare, inputs), partial(whole, images)]
    times = PassTimes(len(images), *_alternate(sides, device.torch))
    flops = times.rate * 2 * macs(lambda x: work.teacher.image(x).pooled, [vision], one.pixels.to(device.torch))
    peak = _peak_flops(device)
    return stored[0], [
        *times.lines(),
        f"{times.rate:.1f} images/s; {flops / 1e12:.2f} TFLOP/s, {100 * flops / peak:.0f} % of {peak / 1e12:.1f} TFLOP/s "
        f"that a plain matrix product reaches here in {work.precision}",
    ]


def _compare_epochs(name: str, work: Pass, stored: Features, device: Device) -> list[str]:
    lines = []
    batch = min(64, len(stored))
    for student in HEADS:
        case = _case(name, student, batch)
        runs = []
        for features in (stored, LiveFeatures(stored, work)):
            dims = Dims(stored.width)
            with tempfile.TemporaryDirectory() as folder:
                built = build(student, dims, "classification")
                runs.append(Run(case, built, features, Path(folder), set(), device.mixed))
        times = _alternate([lambda run=run: run._train_epoch(1) for run in runs], device.torch)
        lines.append(
            f"{student}: an epoch of {len(stored)} images on stored features {times[0]:.3f} s, with the teacher in the loop "
            f"{times[1]:.2f} s: ratio {times[1] / times[0]:.1f}"
        )
    return lines


def _case(teacher: str, student: str, batch: int) -> Case:
    """A classification case of the student, whatever the teacher is."""
    found = matrix.cases(matrix.load(), "sample")
    like = next(case for case in found if case.student == student and case.kind == "classification")
    return replace(like, teacher=teacher, batch_size=batch)


def _alternate(calls: list[Callable[[], object]], device: torch.device) -> list[float]:
    """Median seconds of each call, taken in turns after one round to warm up."""
    times: list[list[float]] = [[] for _ in calls]
    for turn in range(ROUNDS + 1):
        for kept, call in zip(times, calls, strict=True):
            synchronise(device)
            start = time.perf_counter()
            call()
            synchronise(device)
            if turn:
                kept.append(time.perf_counter() - start)
    return [statistics.median(kept) for kept in times]


def _peak_flops(device: Device) -> float:
    """FLOP/s of a large matrix product in the teacher's precision: what this device really reaches."""
    side = 8192 if device.torch.type == "cuda" else 2048
    dtype = torch.bfloat16 if device.teacher_precision == "bf16" else torch.float32
    first, other = (torch.randn(side, side, device=device.torch, dtype=dtype) for _ in range(2))
    return 2 * side**3 / _alternate([lambda: first @ other], device.torch)[0]


@contextmanager
def _elsewhere() -> Iterator[None]:
    """Features go to a temporary folder, so that every pass is a first one."""
    before = paths.data_folder()
    with tempfile.TemporaryDirectory() as folder:
        paths.use(Path(folder))
        try:
            yield
        finally:
            paths.use(before)


def _machine(device: Device) -> str:
    told = device.described()
    return f"{told['device']}, {told['threads']} threads, teacher in {told['precision']['teacher']}, torch {torch.__version__}"
