"""How fast one's own JPEGs are made ready, beside torchvision's bare operators on the same files and threads.

python -m tests.bench.prepare.decode_speed PHOTOGRAPHS.zip                 2,000 JPEGs of 500 x 375, five rounds
python -m tests.bench.prepare.decode_speed PHOTOGRAPHS.zip --images 20000 --rounds 3

The JPEGs are crops of the photographs in the archive (COCO's, say), half of them mirrored, of quality 90. Ours is
``make_ready`` into an empty data folder: the scan, examining, checksums of the files, decoding, squares of 224 pixels, the
store and its digests, index and manifest. Bare is ``read_file``, ``decode_jpeg``, ``interpolate`` and the cut, which give the
same pixels and drop them; and ``decode_jpeg`` alone. They run in turn; medians are printed of the images a second and of
the CPU seconds of all threads.
"""

import argparse
import io
import random
import statistics
import tempfile
import time
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import torch
import torchvision
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

from bench.data import prepared
from bench.data.prepared import Source
from bench.declared import Images
from bench.kit import paths
from bench.kit.environment import usable_cores
from bench.prepare.own import make_ready

WIDTH, HEIGHT, SIDE = 500, 375, 224
RGB = 3  # as torchvision's ImageReadMode counts


def make(archive: Path, count: int, to: Path) -> list[Path]:
    """Write the JPEGs; returns their paths."""
    to.mkdir()
    with zipfile.ZipFile(archive) as packed:
        opened = (Image.open(io.BytesIO(packed.read(name))) for name in packed.namelist() if name.endswith(".jpg"))
        photographs = [one.convert("RGB") for one in opened if one.width >= WIDTH and one.height >= HEIGHT]
    drawn = random.Random(0)
    for number in range(count):
        photograph = photographs[number % len(photographs)]
        left, top = drawn.randint(0, photograph.width - WIDTH), drawn.randint(0, photograph.height - HEIGHT)
        crop = photograph.crop((left, top, left + WIDTH, top + HEIGHT))
        if drawn.random() < 0.5:
            crop = crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        crop.save(to / f"{number:06}.jpg", quality=90)
    return sorted(to.iterdir())


def decoded(path: Path) -> Tensor:
    """All pixels of a JPEG, ``[3, H, W]``."""
    return torch.ops.image.decode_jpeg(torch.ops.image.read_file(str(path)), RGB, False)


def square(path: Path) -> Tensor:
    """The middle of a JPEG, its short side fitted, ``[3, SIDE, SIDE]``."""
    pixels = decoded(path)
    height, width = (SIDE * length // min(pixels.shape[1:]) for length in pixels.shape[1:])
    pixels = interpolate(pixels[None], (height, width), mode="bicubic", antialias=True, align_corners=False)[0]
    top, left = round((height - SIDE) / 2), round((width - SIDE) / 2)
    return pixels[:, top : top + SIDE, left : left + SIDE]


def on_all_cores(work: Callable[[Path], Tensor], files: list[Path]) -> None:
    """``work`` on each of the files, its results dropped."""
    with ThreadPoolExecutor(usable_cores()) as threads:
        for _ in threads.map(lambda path: work(path) is None, files):
            pass


def ours(folder: Path, data: Path) -> Source:
    """Make the folder ready in an empty data folder."""

    @contextmanager
    def task(title):
        yield lambda done, total: None

    paths.use(data)
    return make_ready("timed", Images(str(folder), size=SIDE, labels="none"), lambda line: None, task)


def check(files: list[Path], data: Path) -> None:
    """Raise ``AssertionError`` where the pixels of ours are not those of the bare operators."""
    source = ours(files[0].parent, data)
    for split in prepared.SPLITS:
        pixels = torch.from_numpy(prepared.pixels(source, split))
        for name, row in zip(prepared.index(source, split)["files"], pixels, strict=True):
            assert torch.equal(row, square(source.files / name)), name


def seconds(side: Callable[[], object]) -> tuple[float, float]:
    """Seconds on the wall, and of all threads on their cores."""
    start, cpu = time.perf_counter(), time.process_time()
    side()
    return time.perf_counter() - start, time.process_time() - cpu


def report(archive: Path, count: int, rounds: int) -> str:
    """The table, as text."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        check(make(archive, 64, root / "few"), root / "data-few")
        files = make(archive, count, root / "many")
        taken = {name: [] for name in ("ours", "decode_jpeg and interpolate", "decode_jpeg alone")}
        for _ in range(rounds):
            with tempfile.TemporaryDirectory() as data:
                sides = (
                    partial(ours, root / "many", Path(data)),
                    partial(on_all_cores, square, files),
                    partial(on_all_cores, decoded, files),
                )
                for times, side in zip(taken.values(), sides, strict=True):
                    times.append(seconds(side))
        size = sum(path.stat().st_size for path in files) / count
    wall, cpu = ({name: [each[place] for each in times] for name, times in taken.items()} for place in (0, 1))
    lines = [
        f"{count:,} JPEGs of {WIDTH} x {HEIGHT}, {size / 1024:.0f} KB, to {SIDE} px on {usable_cores()} threads, "
        f"{rounds} rounds; torch {torch.__version__}, torchvision {torchvision.__version__}",
        *(
            f"{name}: {count / statistics.median(wall[name]):.0f} images/s, "
            f"{1e3 * statistics.median(cpu[name]) / count:.2f} CPU ms an image"
            for name in taken
        ),
    ]
    for name in list(taken)[1:]:
        ratios = (
            statistics.median(bare / mine for bare, mine in zip(times[name], times["ours"], strict=True))
            for times in (wall, cpu)
        )
        lines.append("ours to {}: {:.3f} of its images/s, {:.3f} by CPU seconds".format(name, *ratios))
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("archive", type=Path, help="a ZIP with photographs of at least 500 x 375 pixels")
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    print(report(options.archive, options.images, options.rounds))
