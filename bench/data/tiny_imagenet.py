"""tiny-imagenet: 200 classes of ImageNet at 64 x 64 pixels, 500 training and 50 validation images each.

The validation set is the test split here: labels of the archive's own test images are not public. Validation labels
are in ``val_annotations.txt``; taking the folder for the class would give one class, unless somebody sorted the images into
folders of their classes. Classes are numbered in the order of ``wnids.txt`` and named by ``words.txt``.

Copies differ in their top folder and in how pictures end: the folder of ``wnids.txt`` counts, and lists name images by stem.
"""

from collections.abc import Collection
from pathlib import Path, PurePosixPath

from bench.data import prepared
from bench.data.archives import Archive, Index, PrepareError, is_file_name
from bench.data.split import Split

KIND = "classification"
PREPARED = True
SIDE = 64
CROP = False
ROOT = "tiny-imagenet-200"  # the folder in the official archive
ENDINGS = (".jpeg", ".jpg", ".png")  # in any case
LICENCE = "Tiny ImageNet (Stanford CS231n), images of ImageNet: non-commercial research and education only"
DISK_GB = 2.2
EXPECTED = {"train": 100_000, "test": 10_000}
CHECKSUMS = "as in ContinualAI/avalanche, datasets/tiny_imagenet"
ARCHIVES = (
    Archive(
        f"http://cs231n.stanford.edu/{ROOT}.zip", 248_100_043, "md5:90528d7ca1a48142e341f4ef8d21d0de", ROOT, "wnids.txt"
    ),
)


def index(files: Path, names: Collection[str]) -> Index:
    """The images among ``names``, which were unpacked into ``files``, with their labels.

    Raises :class:`PrepareError` naming a bad line, or files that contradict each other.
    """
    root = _root(names)
    classes = [line for _, line in _lines(files, f"{root}wnids.txt", names)]
    number = {wnid: position for position, wnid in enumerate(classes)}
    if len(classes) != 200 or len(number) != 200:
        raise PrepareError(
            f"{files / root / 'wnids.txt'} names {len(number)} different classes, expected 200, each once"
        )
    words = dict(line.split("\t", 1) for _, line in _lines(files, f"{root}words.txt", names) if "\t" in line)
    images = {name for name in names if name.startswith(root) and name.lower().endswith(ENDINGS)}
    splits = {
        "train": _training_images(files, root, number, names, images),
        "test": _validation_images(files, root, number, names, images),
    }
    unused = len(images.difference(name for part in splits.values() for name, _ in part))
    return Index(
        files={split: [name for name, _ in part] for split, part in splits.items()},
        labels={split: [label for _, label in part] for split, part in splits.items()},
        classes=[words.get(wnid, wnid).strip() for wnid in classes],
        left_out={"no public label": unused} if unused else {},
    )


def load(split: str, count: int | None, seed: int) -> Split:
    """At most ``count`` images (None: all) of the prepared split; the same arguments give the same images."""
    return prepared.load(prepared.shipped("tiny-imagenet"), split, count, seed)


def _root(names: Collection[str]) -> str:
    """The folder of ``wnids.txt``, with a "/" at its end, or "" where that lies in no folder."""
    roots = sorted(name.removesuffix("wnids.txt") for name in names if PurePosixPath(name).name == "wnids.txt")
    if len(roots) > 1:
        raise PrepareError(f"{roots[0]}wnids.txt and {roots[1]}wnids.txt: two copies of Tiny ImageNet; keep one")
    return roots[0] if roots else f"{ROOT}/"


def _by_folder(files: Path, start: str, folders: Collection[str], images: Collection[str]) -> dict[str, dict[str, str]]:
    """The path of each image by its stem, by the folder below ``start`` that it lies in, or in ``images`` of that."""
    of_folder: dict[str, dict[str, str]] = {folder: {} for folder in folders}
    for path in images:
        match path.removeprefix(start).split("/"):
            case [folder, name] | [folder, "images", name] if path.startswith(start) and folder in of_folder:
                if (other := of_folder[folder].setdefault(_stem(name), path)) != path:
                    raise _twice(files, path, other)
    return of_folder


def _twice(files: Path, *paths: str) -> PrepareError:
    one, other = sorted(paths)
    return PrepareError(f"{files / one} and {other} are one image by their names; keep the right one of them")


def _training_images(
    files: Path, root: str, number: dict[str, int], names: Collection[str], images: Collection[str]
) -> list[tuple[str, int]]:
    """Path and label of each training image: those that are there, and those that only the list of boxes knows."""
    of_class = _by_folder(files, f"{root}train/", number, images)
    for wnid, there in of_class.items():
        boxes = f"{root}train/{wnid}/{wnid}_boxes.txt"
        for place, line in _lines(files, boxes, names) if boxes in names else ():
            if not is_file_name(name := line.split("\t")[0]):
                raise PrepareError(f"{files / boxes}:{place}: expected 'FILE<tab>...', got {line[:60]!r}")
            there.setdefault(_stem(name), f"{root}train/{wnid}/images/{name}")
    return [(there[stem], number[wnid]) for wnid, there in of_class.items() for stem in sorted(there, key=_by_number)]


def _validation_images(
    files: Path, root: str, number: dict[str, int], names: Collection[str], images: Collection[str]
) -> list[tuple[str, int]]:
    """Path and label of each validation image that has a line in the list, or lies in the folder of its class."""
    source = f"{root}val/val_annotations.txt"
    labels: dict[str, int] = {}
    paths: dict[str, str] = {}
    for folder, there in _by_folder(files, f"{root}val/", (*number, "images"), images).items():
        if twice := next((stem for stem in there if stem in paths), None):
            raise _twice(files, there[twice], paths[twice])
        paths |= there
        labels |= dict.fromkeys(there, number[folder]) if folder in number else {}
    in_folders, listed = dict(labels), set()
    for place, line in _lines(files, source, names) if source in names or not labels else ():
        name, wnid, *_ = [*line.split("\t"), ""]
        if wnid not in number or not is_file_name(name):
            raise PrepareError(
                f"{files / source}:{place}: expected 'FILE<tab>CLASS...' with a class of wnids.txt, got {line[:60]!r}"
            )
        stem = _stem(name)
        if stem in listed:
            raise PrepareError(f"{files / source}:{place}: {name} has a line already")
        if in_folders.get(stem, number[wnid]) != number[wnid]:
            raise PrepareError(f"{files / source}:{place}: {name} is of {wnid}, but it lies in {paths[stem]}")
        listed.add(stem)
        labels[stem] = number[wnid]
        paths.setdefault(stem, f"{root}val/images/{name}")
    return [(paths[stem], labels[stem]) for stem in sorted(labels, key=_by_number)]


def _stem(name: str) -> str:
    return PurePosixPath(name).stem


def _by_number(stem: str) -> tuple[int, str]:
    """A key that puts _2 before _10."""
    return len(stem), stem


def _lines(files: Path, name: str, names: Collection[str]) -> list[tuple[int, str]]:
    """Number and text of each line that is not empty, of one of the archive's own lists."""
    path = files / name
    if name not in names:
        raise PrepareError(f"{path} is missing: the archive is not Tiny ImageNet's")
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise PrepareError(f"{path} is not UTF-8 text ({error}): the archive is not Tiny ImageNet's") from None
    return [(number, line) for number, line in enumerate(lines, start=1) if line.strip()]
