"""coco: COCO 2017 with its captions, five or more an image; val2017 is the test split.

val2017 are the 5,000 images of the 2014 split that is called minival. Images without captions are left out and
counted.
"""

import json
from collections.abc import Collection
from pathlib import Path

from bench import prepared
from bench.data import Split
from bench.prepare import Archive, Index, PrepareError

KIND = "captions"
PREPARED = True
# What resnet and densenet read: the short side fitted, the middle cut out. Teachers read the files themselves.
SIDE, CROP = 224, True
LICENCE = "COCO 2017: annotations CC BY 4.0; images are Flickr users', under their own Creative Commons licences"
DISK_GB = 61
EXPECTED = {"train": 118_287, "test": 5_000}
CHECKSUMS = "as in tensorflow/datasets, url_checksums/coco.txt"
HOST = "http://images.cocodataset.org"
ARCHIVES = (
    Archive(
        "train2017.zip",
        f"{HOST}/zips/train2017.zip",
        19_336_861_798,
        "sha256:69a8bb58ea5f8f99d24875f21416de2e9ded3178e903f1f7603e283b9e06d929",
        CHECKSUMS,
        largest_bytes=25 * 10**9,
    ),
    Archive(
        "val2017.zip",
        f"{HOST}/zips/val2017.zip",
        815_585_330,
        "sha256:4f7e2ccb2866ec5041993c9cf2a952bbed69647b115d0f74da7ce8f4bef82f05",
        CHECKSUMS,
        largest_bytes=2 * 10**9,
    ),
    Archive(
        "annotations_trainval2017.zip",
        f"{HOST}/annotations/annotations_trainval2017.zip",
        252_907_541,
        "sha256:113a836d90195ee1f884e704da6304dfaaecff1f023f49b6ca93c4aaae470268",
        CHECKSUMS,
        largest_bytes=2 * 10**9,
    ),
)
SPLITS = {"train": "train2017", "test": "val2017"}


def index(files: Path, names: Collection[str]) -> Index:
    """The captioned images, by file name; ``names`` are all files that were unpacked into ``files``.

    Raises :class:`PrepareError` where captions are not COCO's.
    """
    images: dict[str, list[str]] = {}
    captions: dict[str, list[list[str]]] = {}
    without = 0
    for split, part in SPLITS.items():
        listed = f"annotations/captions_{part}.json"
        if listed not in names:
            raise PrepareError(f"{files / listed} is missing: the annotations archive is not COCO 2017's")
        told = _captions(files / listed)
        images[split] = [f"{part}/{name}" for name, texts in told if texts]
        captions[split] = [texts for _, texts in told if texts]
        there = {name for name in names if name.startswith(f"{part}/") and name.endswith(".jpg")}
        without += len(there.difference(images[split]))
    return Index(images, {}, captions, [], {"no captions": without} if without else {})


def load(split: str, count: int | None, seed: int) -> Split:
    """At most ``count`` images (None: all) of the prepared split with all their captions."""
    return prepared.load("coco", split, count, seed)


def _captions(path: Path) -> list[tuple[str, list[str]]]:
    """Each image's file name and its captions, sorted by name; white space in captions is made single."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        names = {int(entry["id"]): Path(entry["file_name"]).name for entry in content["images"]}
        if len(set(names.values())) != len(content["images"]):
            raise ValueError("an image is listed twice")
        texts: dict[int, list[str]] = {number: [] for number in names}
        for entry in content["annotations"]:
            caption = " ".join(str(entry["caption"]).split())
            if caption and int(entry["image_id"]) in texts:
                texts[int(entry["image_id"])].append(caption)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise PrepareError(f"{path} is not a file of COCO captions: {type(error).__name__}: {error}") from None
    return sorted((names[number], told) for number, told in texts.items())
