"""coco: COCO 2017 with its captions, five or more an image; val2017 is the test split.

val2017 are the 5,000 images of the 2014 split that is called minival. Images without captions are left out and
counted. An image whose instances are all of one of the 80 categories has that category as its concept.
"""

import json
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.data import prepared
from bench.data.archives import Archive, Index, PrepareError, is_file_name
from bench.data.split import Split

KIND = "captions"
PREPARED = True
# What resnet and densenet read: the short side fitted, the middle cut out. Teachers read the files themselves.
SIDE = 224
CROP = True
LICENCE = "COCO 2017: annotations CC BY 4.0; images are Flickr users', under their own Creative Commons licences"
DISK_GB = 61
EXPECTED = {"train": 118_287, "test": 5_000}
HOST = "http://images.cocodataset.org"
CHECKSUMS = "as in tensorflow/datasets, url_checksums/coco.txt"
ARCHIVES = (
    Archive(
        f"{HOST}/zips/train2017.zip",
        19_336_861_798,
        "sha256:69a8bb58ea5f8f99d24875f21416de2e9ded3178e903f1f7603e283b9e06d929",
        "train2017",
    ),
    Archive(
        f"{HOST}/zips/val2017.zip",
        815_585_330,
        "sha256:4f7e2ccb2866ec5041993c9cf2a952bbed69647b115d0f74da7ce8f4bef82f05",
        "val2017",
    ),
    Archive(
        f"{HOST}/annotations/annotations_trainval2017.zip",
        252_907_541,
        "sha256:113a836d90195ee1f884e704da6304dfaaecff1f023f49b6ca93c4aaae470268",
        "annotations",
    ),
)
SPLITS = {"train": "train2017", "test": "val2017"}
# Prompts for a category with its article. CLIP's paper (arXiv:2103.00020, section 3.1.4) averages over such a list; this
# one is our own, short and without words that fit some categories only.
TEMPLATES = (
    "a photo of {}.",
    "a picture of {}.",
    "a close-up photo of {}.",
    "a photo of {} in the middle of a scene.",
    "a photo that shows {}.",
    "there is {} in this photo.",
    "{}.",
)
# All that is read of the instances' file.
FIELDS = frozenset(("images", "annotations", "categories", "id", "file_name", "name", "image_id", "category_id"))


def index(files: Path, names: Collection[str]) -> Index:
    """The captioned images, by file name, and what they show; ``names`` are all files that were unpacked into ``files``.

    Raises :class:`PrepareError` where captions or instances are not COCO's, or not of the same images.
    """
    images, captions, concepts, without = {}, {}, {}, 0
    for split, part in SPLITS.items():
        captioned = [entry for entry in _captions(_annotations(files, names, f"captions_{part}.json")) if entry[1]]
        images[split] = [f"{part}/{name}" for name, _ in captioned]
        captions[split] = [texts for _, texts in captioned]
        unpacked = {name for name in names if name.startswith(f"{part}/") and name.endswith(".jpg")}
        without += len(unpacked.difference(images[split]))
        instances = _annotations(files, names, f"instances_{part}.json")
        concepts[split] = _concepts(
            instances, [name for name, _ in captioned], {name.rpartition("/")[2] for name in unpacked}
        )
    left_out = {"no captions": without} if without else {}
    return Index(images, captions=captions, concepts=concepts, left_out=left_out)


def load(split: str, count: int | None, seed: int) -> Split:
    """At most ``count`` images (None: all) of the prepared split with all their captions."""
    return prepared.load(prepared.shipped("coco"), split, count, seed, prompts)


def prompts(name: str) -> tuple[str, ...]:
    """Texts that ask for a category; "skis" and "scissors" get an article, too."""
    article = "an" if name.startswith(tuple("aeiou")) else "a"
    return tuple(template.format(f"{article} {name}") for template in TEMPLATES)


def _annotations(files: Path, names: Collection[str], name: str) -> Path:
    """One file of the annotations archive."""
    path = f"annotations/{name}"
    if path not in names:
        raise PrepareError(f"{files / path} is missing: the annotations archive is not COCO 2017's")
    return files / path


@contextmanager
def _expecting(kind: str, path: Path) -> Iterator[None]:
    """Turn what goes wrong with a file of another structure into a :class:`PrepareError` that names it."""
    try:
        yield
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise PrepareError(f"{path} is not a file of COCO {kind}: {type(error).__name__}: {error}") from None


def _file_names(content: dict) -> dict[int, str]:
    """The listed images' file names by their ids."""
    names = {int(entry["id"]): entry["file_name"] for entry in content["images"]}
    if strange := [name for name in names.values() if not is_file_name(name)]:
        raise ValueError(f"{strange[0]!r:.60} is not the name of a file")
    if len(set(names.values())) != len(content["images"]):
        raise ValueError("an image is listed twice")
    return names


def _captions(path: Path) -> list[tuple[str, list[str]]]:
    """Each image's file name and its captions, sorted by name; white space in captions is made single."""
    with _expecting("captions", path):
        content = json.loads(path.read_text(encoding="utf-8"))
        names = _file_names(content)
        texts: dict[int, list[str]] = {number: [] for number in names}
        for entry in content["annotations"]:
            caption = " ".join(entry["caption"].split())
            if caption and int(entry["image_id"]) in texts:
                texts[int(entry["image_id"])].append(caption)
    return sorted((names[number], captions) for number, captions in texts.items())


def _concepts(path: Path, images: list[str], unpacked: Collection[str]) -> tuple[list[str], list[int]]:
    """The categories, and for each image the one of all its instances, -1 where there is none or more.

    Crowds count as their category. Images that were not ``unpacked`` need not be listed.
    """
    with _expecting("instances", path):
        # Training's file has 470 MB, nearly all of it outlines, which would take several GB as Python's objects. They
        # are dropped as they are read, so that about 1 GB is taken at most, and nearly all of it given back at the end.
        content = json.loads(
            path.read_text(encoding="utf-8"),
            object_hook=lambda entry: {key: value for key, value in entry.items() if key in FIELDS},
        )
        names = _file_names(content)
        position = {int(entry["id"]): place for place, entry in enumerate(content["categories"])}
        categories = [" ".join(str(entry["name"]).split()) for entry in content["categories"]]
        if not len(position) == len(set(categories)) == len(categories):
            raise ValueError("a category is listed twice")
        shown: dict[int, set[int]] = {number: set() for number in names}
        for entry in content["annotations"]:
            category = position[int(entry["category_id"])]
            if int(entry["image_id"]) in shown:
                shown[int(entry["image_id"])].add(category)
    of_name = {names[number]: positions for number, positions in shown.items()}
    if strange := next((name for name in images if name in unpacked and name not in of_name), None):
        raise PrepareError(f"{path} does not list {strange}, which has captions: it is of another set of images")
    single = {name: next(iter(positions)) for name, positions in of_name.items() if len(positions) == 1}
    return categories, [single.get(name, -1) for name in images]
