"""A folder of images as a dataset: which form it has, which of its files are images of what, and of which split.

The form is found by looking at the folder. Splits are those of its folders ``train`` and ``test`` or ``val``; without them
an image's own name decides, so that it stays in its split as others are added. Needs no torch.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace

from bench.data.archives import Index
from bench.data.own import captions, classes, packed
from bench.data.own.scan import IMAGES, ending, is_image, scan
from bench.declared import Images
from bench.kit.errors import UserError

TRAIN = re.compile(r"train(ing)?[-_]?\d*", re.IGNORECASE)
TEST = re.compile(r"test(ing)?[-_]?\d*", re.IGNORECASE), re.compile(r"val(id|idation)?[-_]?\d*", re.IGNORECASE)
LOOKED_FOR = (
    f"looked for images ({' '.join(IMAGES)}) in class folders, in train beside val or test, or without labels, and for "
    f"packed ones ({' '.join(packed.READERS)})"
)


def kind(images: Images) -> str:
    """The kind of data that a folder holds: "captions", "classification", or "images" alone.

    Raises :class:`UserError` where the folder is missing, has no images, or may be several things.
    """
    if is_packed(images):
        return packed.kind(images, packed.shards(scan(images.path)))
    names = _images(images)
    if images.captions:
        captions.reader(images.captions)
        return "captions"
    return "classification" if _classes(images, names, _roots(names)) else "images"


def is_packed(images: Images) -> bool:
    """Whether its images are packed into files with what is known of them. Raises :class:`UserError` for captions beside."""
    files = scan(images.path)
    if any(map(is_image, files)) or not packed.shards(files):
        return False
    if images.captions:
        raise UserError(
            f"{images.path} has its images in packed files: captions ({images.captions}) are for images in files"
        )
    return True


def index(images: Images) -> Index:
    """The images of both splits with their labels or captions. Raises :class:`UserError` as :func:`kind`."""
    names = _images(images)
    left_out = Counter(f"no image by its ending ({ending(name)})" for name in scan(images.path) if not is_image(name))
    texts = captions.read(images.captions, names) if images.captions else None
    if texts:
        left_out["no captions"] = len(names) - len(texts.of)
        left_out["captions of images that are not there"] = texts.missing
        names = list(texts.of)
    roots = _roots(names)
    left_out["beside the folders of the splits"] = sum(not name.startswith(roots) for name in names)
    names = [name for name in names if name.startswith(roots)]
    label = None if texts else _classes(images, names, roots)
    if label:
        left_out["beside the class folders"] = len(names) - len(label)
        names = list(label)
    files = _in_folders(names, roots) if len(roots) > 1 else _by_name(names, images.test)
    for split in ("train", "test"):
        if not files[split]:
            raise UserError(
                f"{images.path}: none of its {len(names)} images falls to the {split} split, which the share 'test: "
                f"{images.test:g}' decides by their names; choose another share, or put some in folders train and test"
            )
    parts = Index(files, left_out={reason: count for reason, count in left_out.items() if count})
    if texts:
        return replace(parts, captions={split: [texts.of[name] for name in part] for split, part in files.items()})
    if not label:
        return parts
    if len(roots) > 1 and (
        strange := {label[name] for name in files["test"]} - {label[name] for name in files["train"]}
    ):
        raise UserError(
            f"{images.path}: {roots[1]} has images of '{min(strange)}', of which {roots[0]} has no training images: are the "
            "folders called alike?"
        )
    return _labelled(parts, label)


def _images(images: Images) -> list[str]:
    """The paths of all images. Raises :class:`UserError` where there are none."""
    files = scan(images.path)
    names = [name for name in files if is_image(name)]
    if not names:
        endings = Counter(map(ending, files)).most_common(3)
        there = ", ".join(f"{count} {name or 'without ending'}" for name, count in endings) or "nothing"
        raise UserError(f"{images.path} has no images: {LOOKED_FOR}; there is {there}")
    return names


def _roots(names: Collection[str]) -> tuple[str, ...]:
    """The folders of train and test, or the one folder below which all images lie: paths that end with "/", or ""."""
    prefix = ""
    while True:
        tops = Counter(name[len(prefix) :].partition("/")[0] if "/" in name[len(prefix) :] else "" for name in names)
        train = [top for top in tops if TRAIN.fullmatch(top)]
        test = [top for form in TEST for top in tops if form.fullmatch(top)]
        if train and test:
            return f"{prefix}{train[0]}/", f"{prefix}{test[0]}/"
        if len(tops) > 1 or "" in tops:
            return (prefix,)
        prefix += f"{next(iter(tops))}/"


def _classes(images: Images, names: Collection[str], roots: Sequence[str]) -> dict[str, str] | None:
    """The class of each image, None where they have no labels. Raises :class:`UserError` where that is not clear."""
    below = {root: [name[len(root) :] for name in names if name.startswith(root)] for root in roots}
    first = f"{images.path}/{roots[0]}".rstrip("/")
    label = classes.of_folders(below[roots[0]], first, images.labels)
    if label is None:
        return None
    label = {roots[0] + name: one for name, one in label.items()}
    for root in roots[1:]:
        if not all("/" in name for name in below[root]):
            raise UserError(
                f"{images.path}: {root} has images in no class folder, and {roots[0]} has class folders: give both the "
                "same, or say 'labels: none' in the dataset's entry"
            )
        label |= {root + name: name.partition("/")[0] for name in below[root]}
    return label


def _in_folders(names: Collection[str], roots: Sequence[str]) -> dict[str, list[str]]:
    return {
        split: [name for name in names if name.startswith(root)]
        for split, root in zip(("train", "test"), roots, strict=True)
    }


def _by_name(names: Collection[str], share: float) -> dict[str, list[str]]:
    """Each image in the split that the hash of its path gives it."""
    files: dict[str, list[str]] = {"train": [], "test": []}
    for name in names:
        files["test" if is_held_out(name, share) else "train"].append(name)
    return files


def is_held_out(name: str, share: float) -> bool:
    """Whether an image of this name is of the test split, which has about the ``share`` of all."""
    digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest[:8], "big") < share * 2**64


def _labelled(parts: Index, label: dict[str, str]) -> Index:
    """The index with the labels of its images: the places of their classes' names, which are sorted."""
    names = sorted(set(label.values()))
    number = {name: place for place, name in enumerate(names)}
    labels = {split: [number[label[file]] for file in files] for split, files in parts.files.items()}
    return replace(parts, labels=labels, classes=names)
