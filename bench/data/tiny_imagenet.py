"""tiny-imagenet: 200 classes of ImageNet at 64 x 64 pixels, 500 training and 50 validation images each.

The validation set is the test split here: labels of the archive's own test images are not public. Validation labels
are in ``val_annotations.txt``; taking the folder for the class would give one class. Classes are numbered in the order
of ``wnids.txt`` and named by ``words.txt``.
"""

from collections.abc import Collection
from pathlib import Path

from bench.data import prepared
from bench.data.archives import Archive, Index, PrepareError, is_file_name
from bench.data.split import Split

KIND = "classification"
PREPARED = True
SIDE = 64
CROP = False
ROOT = "tiny-imagenet-200"  # the folder in the archive
LICENCE = "Tiny ImageNet (Stanford CS231n), images of ImageNet: non-commercial research and education only"
DISK_GB = 2.2
EXPECTED = {"train": 100_000, "test": 10_000}
CHECKSUMS = "as in ContinualAI/avalanche, datasets/tiny_imagenet"
ARCHIVES = (Archive(f"http://cs231n.stanford.edu/{ROOT}.zip", 248_100_043, "md5:90528d7ca1a48142e341f4ef8d21d0de"),)


def index(files: Path, names: Collection[str]) -> Index:
    """The images among ``names``, which were unpacked into ``files``, with their labels.

    Raises :class:`PrepareError` naming a bad line.
    """
    classes = [line for _, line in _lines(files, "wnids.txt", names)]
    number = {wnid: position for position, wnid in enumerate(classes)}
    if len(classes) != 200 or len(number) != 200:
        raise PrepareError(
            f"{files / ROOT / 'wnids.txt'} names {len(number)} different classes, expected 200, each once"
        )
    words = dict(line.split("\t", 1) for _, line in _lines(files, "words.txt", names) if "\t" in line)
    train, test = _training_images(files, number, names), _validation_images(files, number, names)
    splits = {"train": train, "test": test}
    images = {name for name in names if name.endswith(".JPEG")}
    unused = len(images.difference(name for part in splits.values() for name, _ in part))
    return Index(
        files={split: [name for name, _ in part] for split, part in splits.items()},
        labels={split: [label for _, label in part] for split, part in splits.items()},
        classes=[words.get(wnid, wnid).strip() for wnid in classes],
        left_out={"no public label": unused} if unused else {},
    )


def load(split: str, count: int | None, seed: int) -> Split:
    """At most ``count`` images (None: all) of the prepared split; the same arguments give the same images."""
    return prepared.load("tiny-imagenet", split, count, seed)


def _training_images(files: Path, number: dict[str, int], names: Collection[str]) -> list[tuple[str, int]]:
    """Path and label of each training image: those that are there, and those that only the list of boxes knows."""
    of_class: dict[str, set[str]] = {wnid: set() for wnid in number}
    for name in names:
        parts = name.split("/")
        if len(parts) == 5 and parts[1] == "train" and parts[2] in of_class and parts[4].endswith(".JPEG"):
            of_class[parts[2]].add(parts[4])
    for wnid, listed in of_class.items():
        boxes = f"train/{wnid}/{wnid}_boxes.txt"
        if f"{ROOT}/{boxes}" in names:
            for place, line in _lines(files, boxes, names):
                if not is_file_name(name := line.split("\t")[0]):
                    raise PrepareError(f"{files / ROOT / boxes}:{place}: expected 'FILE<tab>...', got {line[:60]!r}")
                listed.add(name)
    return [
        (f"{ROOT}/train/{wnid}/images/{name}", number[wnid])
        for wnid, listed in of_class.items()
        for name in sorted(listed, key=_by_number)
    ]


def _validation_images(files: Path, number: dict[str, int], names: Collection[str]) -> list[tuple[str, int]]:
    """Path and label of each validation image."""
    source = "val/val_annotations.txt"
    labels: dict[str, int] = {}
    for place, line in _lines(files, source, names):
        name, wnid, *_ = [*line.split("\t"), ""]
        if wnid not in number or not is_file_name(name):
            raise PrepareError(
                f"{files / ROOT / source}:{place}: expected 'FILE<tab>CLASS...' with a class of wnids.txt, got {line[:60]!r}"
            )
        if name in labels:
            raise PrepareError(f"{files / ROOT / source}:{place}: {name} has a line already")
        labels[name] = number[wnid]
    return [(f"{ROOT}/val/images/{name}", labels[name]) for name in sorted(labels, key=_by_number)]


def _by_number(name: str) -> tuple[int, str]:
    """A key that puts _2 before _10."""
    return len(name), name


def _lines(files: Path, name: str, names: Collection[str]) -> list[tuple[int, str]]:
    """Number and text of each line that is not empty, of one of the archive's own lists."""
    path = files / ROOT / name
    if f"{ROOT}/{name}" not in names:
        raise PrepareError(f"{path} is missing: the archive is not Tiny ImageNet's")
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise PrepareError(f"{path} is not UTF-8 text ({error}): the archive is not Tiny ImageNet's") from None
    return [(number, line) for number, line in enumerate(lines, start=1) if line.strip()]
