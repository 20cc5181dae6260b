"""What the feature store costs and saves, as ratios taken in one run on one machine.

    python -m tests.bench.run.store_speed dino                  full-size architecture with random weights
    python -m tests.bench.run.store_speed dino --images 4096    more images than the default, which takes minutes

Two ratios: the teacher's pass with everything around it (reading, preparing, storing, digests) over a bare forward loop
of its image tower on the same images, prepared before; and a student's epoch with the teacher in the loop, as
with ``views: live``, over the same epoch on stored features. Both sides of a ratio alternate, and the median is taken.

A pass also costs something once, however many images it has: folders, and forward passes that tell shapes. Timing both
sides on one image, too, sets this apart from what each image costs. Captions are not timed, since a text tower needs its
tokenizer; nor is the PCA, which is fitted on captions, too.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from bench import registry
from bench.data.split import Split
from bench.features.columns import Features
from bench.features.device import Device
from bench.features.extract import Needs, Pass, extract
from bench.features.views import Live
from bench.kit import paths
from bench.kit.progress import Progress
from bench.measure.flops import macs
from bench.measure.timing import synchronise
from bench.plan import matrix
from bench.plan.case import PRECISIONS
from bench.training.run import Run
from students import Dims, build
from teachers import Weights, load, prepare

IMAGES = {"cpu": 32, "cuda": 2048}  # by default: a run at full size takes minutes
ROUNDS = 3
HEADS = ("projection", "bottleneck", "attention", "cbam")


def report(name: str, weights: str, count: int | None, device_name: str, precision: str) -> str:
    """Both ratios for a teacher over ``count`` random images (None: the device's ``IMAGES``), as text."""
    device = Device(device_name, precision)
    count = count or IMAGES[device.torch.type]
    teacher = load(name, Weights(weights)).to(device.torch)
    teacher.reduce_to = None
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (count, 3, teacher.size, teacher.size), dtype=torch.uint8, generator=generator)
    images = Split(pixels, labels=torch.zeros(count, dtype=torch.long))
    quiet = Progress(None)
    work = Pass(
        f"speed-{name}", teacher, device.torch, device.teacher_precision, Needs(True, False), quiet.say, quiet.task
    )
    captions = " (captions are not timed)" if registry.constant("teacher", name, "KIND") == "captions" else ""
    facts = device.described()
    stored, passes = _compare_passes(work, images, device)
    return "\n".join(
        [
            f"{name} ({weights}), {count} images of {teacher.size} px{captions}, {facts['device']}, {facts['threads']} threads, "
            f"teacher in {device.teacher_precision}, torch {torch.__version__}",
            *passes,
            *_compare_epochs(name, work, stored, device),
        ]
    )


def pass_lines(count: int, bare_one: float, pass_one: float, bare: float, whole: float) -> tuple[list[str], float]:
    """What is said of seconds of the bare loop and of the whole pass, over one image and over ``count`` images; and the
    images per second of the pass, without what comes once."""
    once = pass_one - bare_one
    lines = [
        f"the same {count} images: bare forward loop over prepared tensors {bare:.2f} s, teacher's pass into "
        f"the store {whole:.2f} s: ratio {whole / bare:.3f}",
        f"of which {once:.2f} s come once with a pass of any length (folders, two examples that tell shapes, an "
        f"image of a second split): ratio over the images themselves {(whole - once) / bare:.3f}",
    ]
    return lines, count / (whole - once)


def _compare_passes(work: Pass, images: Split, device: Device) -> tuple[Features, list[str]]:
    one = replace(images, pixels=images.pixels[:1], identity="one image")
    inputs = [prepare(part.to(device.torch), **work.teacher.transform) for part in images.pixels.split(work.at_once())]
    vision = work.teacher.vision()

    @torch.no_grad()
    def bare(parts: list[Tensor]) -> None:
        for part in parts:
            with work.mixed():
                vision(part)

    stored: list[Features] = []

    def whole(split: Split) -> None:
        before = paths.data_folder()
        with tempfile.TemporaryDirectory() as folder:
            paths.use(Path(folder))  # so that every pass is a first one
            try:
                stored[:] = [extract(work, split, one, digest="timed").train]
            finally:
                paths.use(before)

    sides = [partial(bare, [inputs[0][:1]]), partial(whole, one), partial(bare, inputs), partial(whole, images)]
    lines, rate = pass_lines(len(images), *_alternate(sides, device.torch))
    flops = rate * 2 * macs(lambda x: work.teacher.image(x).pooled, [vision], one.pixels.to(device.torch))
    peak = _peak_flops(device)
    return stored[0], [
        *lines,
        f"{rate:.1f} images/s; {flops / 1e12:.2f} TFLOP/s, {100 * flops / peak:.0f} % of {peak / 1e12:.1f} TFLOP/s "
        f"that a plain matrix product reaches here in {work.precision}",
    ]


def _compare_epochs(name: str, work: Pass, stored: Features, device: Device) -> Iterator[str]:
    cases = matrix.cases(matrix.load(), "sample")
    for student in HEADS:
        like = next(case for case in cases if case.student == student and case.kind == "classification")
        case = replace(like, teacher=name, batch_size=min(64, len(stored)))
        with tempfile.TemporaryDirectory() as folder:
            runs = [
                Run(case, build(student, Dims(stored.width), case.kind), features, Path(folder), set(), device.mixed)
                for features in (stored, Live(stored, partial(work.images, pca=None), seed=0))
            ]
            on_stored, in_loop = _alternate([partial(run._train_epoch, 1) for run in runs], device.torch)
        yield (
            f"{student}: an epoch of {len(stored)} images on stored features {on_stored:.3f} s, with the teacher in the loop "
            f"{in_loop:.2f} s: ratio {in_loop / on_stored:.1f}"
        )


def _alternate(calls: Sequence[Callable[[], object]], device: torch.device) -> list[float]:
    """Median seconds of each call, taken in turns after one round to warm up."""
    rounds = [[_seconds(call, device) for call in calls] for _ in range(1 + ROUNDS)]
    return [statistics.median(seconds) for seconds in zip(*rounds[1:], strict=True)]


def _seconds(call: Callable[[], object], device: torch.device) -> float:
    synchronise(device)
    start = time.perf_counter()
    call()
    synchronise(device)
    return time.perf_counter() - start


def _peak_flops(device: Device) -> float:
    """FLOP/s of a large matrix product in the teacher's precision: what this device really reaches."""
    side = 8192 if device.torch.type == "cuda" else 2048
    dtype = torch.bfloat16 if device.teacher_precision == "bf16" else torch.float32
    first, other = (torch.randn(side, side, device=device.torch, dtype=dtype) for _ in range(2))
    return 2 * side**3 / _alternate([lambda: first @ other], device.torch)[0]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("teacher", choices=registry.names("teacher"))
    parser.add_argument("--weights", choices=("random", "pocket", "pretrained"), default="random")
    parser.add_argument("--images", type=int, help="at least 2; default: 32 on a CPU, 2048 on a GPU")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", choices=PRECISIONS, default="auto")
    options = parser.parse_args()
    print(report(options.teacher, options.weights, options.images, options.device, options.precision))


if __name__ == "__main__":
    main()
