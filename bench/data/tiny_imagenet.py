"""tiny-imagenet: 200 classes of ImageNet at 64 x 64 pixels, 500 training and 50 validation images each.

The validation set is the test split here: labels of the archive's own test images are not public. Validation labels
are in ``val_annotations.txt``; taking the folder for the class would give one class. Classes are numbered in the order
of ``wnids.txt`` and named by ``words.txt``.
"""

from pathlib import Path

from bench import prepared
from bench.data import Split
from bench.prepare import Archive, Index, PrepareError

KIND = "classification"
PREPARED = True
SIDE, CROP = 64, False
LICENCE = "Tiny ImageNet (Stanford CS231n), images of ImageNet: non-commercial research and education only"
DISK_GB = 3.5
EXPECTED = {"train": 100_000, "test": 10_000}
ARCHIVES = (
    Archive(
        "tiny-imagenet-200.zip",
        "http://cs231n.stanford.edu/tiny-imagenet-200.zip",
        248_100_043,
        "md5:90528d7ca1a48142e341f4ef8d21d0de",
        "as in ContinualAI/avalanche, datasets/tiny_imagenet",
        largest_bytes=2 * 10**9,
    ),
)


def index(files: Path) -> Index:
    """The images of ``files/tiny-imagenet-200`` with their labels. Raises :class:`PrepareError` naming a bad line."""
    root = files / "tiny-imagenet-200"
    classes = _lines(root / "wnids.txt")
    number = {wnid: position for position, wnid in enumerate(classes)}
    if len(number) != 200:
        raise PrepareError(f"{root / 'wnids.txt'} names {len(number)} different classes, expected 200")
    names = dict(line.split("\t", 1) for line in _lines(root / "words.txt") if "\t" in line)
    train = [(path, wnid) for wnid in classes for path in _training_images(root, wnid)]
    test = _validation_images(root, number)
    return Index(
        files={split: [str(path.relative_to(files)) for path, _ in part] for split, part in _parts(train, test)},
        labels={split: [number[wnid] for _, wnid in part] for split, part in _parts(train, test)},
        captions={},
        classes=[names.get(wnid, wnid) for wnid in classes],
        left_out={},
    )


def load(split: str, count: int | None, seed: int) -> Split:
    """At most ``count`` images (None: all) of the prepared split; the same arguments give the same images."""
    return prepared.load("tiny-imagenet", split, count, seed)


def _parts(train: list, test: list):
    return (("train", train), ("test", test))


def _training_images(root: Path, wnid: str) -> list[Path]:
    folder = root / "train" / wnid / "images"
    return sorted(folder.glob("*.JPEG"), key=lambda path: (len(path.name), path.name))


def _validation_images(root: Path, number: dict[str, int]) -> list[tuple[Path, str]]:
    source = root / "val" / "val_annotations.txt"
    found = []
    for place, line in enumerate(_lines(source), start=1):
        parts = line.split("\t")
        if len(parts) < 2 or parts[1] not in number or Path(parts[0]).name != parts[0]:
            raise PrepareError(
                f"{source}:{place}: expected 'FILE<tab>CLASS...' with a class of wnids.txt, got {line[:60]!r}"
            )
        found.append((root / "val" / "images" / parts[0], parts[1]))
    return sorted(found, key=lambda item: (len(item[0].name), item[0].name))


def _lines(path: Path) -> list[str]:
    if not path.is_file():
        raise PrepareError(f"{path} is missing: the archive is not Tiny ImageNet's")
    return [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
