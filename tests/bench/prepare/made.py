"""Small archives in the layout of the official ones, of drawn pictures, and a way to prepare them."""

import json
import zipfile
from contextlib import nullcontext
from functools import cache
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from bench.prepare import prepare

ROOT = "tiny-imagenet-200"
WNIDS = [f"n{9000 - 7 * number:08}" for number in range(200)]  # not in alphabetical order
# Not in the order of their ids, which have gaps, nor in that of their names.
CATEGORIES = [{"id": 18, "name": "dog"}, {"id": 5, "name": "airplane"}, {"id": 28, "name": "umbrella"}]
SHOWN = ([18, 18], [18, 5], [], [5])  # categories of the instances of COCO's first four images, and so on in turn
COCO = ("train2017.zip", "val2017.zip", "annotations_trainval2017.zip")


@cache
def picture(seed: int, size: tuple[int, int] = (64, 64), mode: str = "RGB", form: str = "JPEG") -> bytes:
    """A file with noise in it, coarse enough to be small."""
    channels = len(Image.new(mode, (1, 1)).getbands())
    noise = np.random.default_rng(seed).integers(0, 256, (2, 2, channels), dtype=np.uint8)
    file = BytesIO()
    Image.fromarray(noise.squeeze(), mode).resize(size, Image.Resampling.BILINEAR).save(file, form)
    return file.getvalue()


def decoded(data: bytes) -> np.ndarray:
    """What Pillow makes of a picture's file, as uint8 ``[3, H, W]``."""
    return np.asarray(Image.open(BytesIO(data)).convert("RGB")).transpose(2, 0, 1)


def tiny_imagenet(train: int = 1, validation: int = 10, size: tuple[int, int] = (64, 64)) -> dict[str, bytes]:
    """Tiny ImageNet's files by name: ``train`` images of each of 200 classes; validation image i is of class 7 i."""
    content = {f"{ROOT}/wnids.txt": "\n".join(WNIDS).encode() + b"\n"}
    content[f"{ROOT}/words.txt"] = "".join(f"{wnid}\tthing {wnid}, item\n" for wnid in sorted(WNIDS)).encode()
    for number, wnid in enumerate(WNIDS):
        names = [f"{wnid}_{image}.JPEG" for image in reversed(range(train))]
        if train > 1:  # fewer files make quicker tests
            boxes = "".join(f"{name}\t0\t1\t2\t3\n" for name in names)
            content[f"{ROOT}/train/{wnid}/{wnid}_boxes.txt"] = boxes.encode()
        for place, name in enumerate(names):
            content[f"{ROOT}/train/{wnid}/images/{name}"] = picture(1000 * place + number, size)
    lines = [f"val_{image}.JPEG\t{WNIDS[7 * image % 200]}\t0\t1\t2\t3\n" for image in range(validation)]
    content[f"{ROOT}/val/val_annotations.txt"] = "".join(lines).encode()
    for image in range(validation):
        content[f"{ROOT}/val/images/val_{image}.JPEG"] = picture(image, size, "L")
    return content


def coco(train: int = 3, validation: int = 2, size: tuple[int, int] = (64, 48)) -> dict[str, bytes]:
    """COCO's files by name, five captions an image; the pictures are not in the order of their names.

    What image 100 i + 9 shows is ``SHOWN[i % 4]``.
    """
    content = {}
    for part, count in (("train2017", train), ("val2017", validation)):
        numbers = [100 * number + 9 for number in reversed(range(count))]
        images = [{"id": number, "file_name": f"{number:012}.jpg"} for number in numbers]
        captions = [
            {"image_id": number, "caption": f" {part} {number}\n telling {telling} "} for telling in range(5) for number in numbers
        ]  # fmt: skip
        content[f"annotations/captions_{part}.json"] = json.dumps({"images": images, "annotations": captions}).encode()
        instances = [
            {"image_id": number, "category_id": category, "iscrowd": 0, "segmentation": [[1.5, 2, 3, 4, 5, 6]], "id": number}
            for number in numbers for category in SHOWN[number // 100 % 4]
        ]  # fmt: skip
        listed = {"images": images, "annotations": instances, "categories": CATEGORIES}
        content[f"annotations/instances_{part}.json"] = json.dumps(listed).encode()
        content |= {f"{part}/{number:012}.jpg": picture(number + (part == "val2017"), size) for number in numbers}
    return content


def archives(folder: Path, content: dict[str, bytes]) -> Path:
    """Write the archives that hold these files into ``folder``, and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = dict(zip(COCO, ("train2017/", "val2017/", "annotations/"), strict=True))
    if any(name.endswith("wnids.txt") or name.startswith(ROOT) for name in content):
        parts = {f"{ROOT}.zip": ""}
    for archive, start in parts.items():
        with zipfile.ZipFile(folder / archive, "w", zipfile.ZIP_DEFLATED) as file:
            for name, data in content.items():
                if name.startswith(start):
                    file.writestr(name, data)
    return folder


def unpacked(folder: Path, content: dict[str, bytes]) -> Path:
    """Write these files into ``folder``, as its archives unpack, and return it."""
    for name, data in content.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def prepared(name: str, given: Path | None, subset: bool = True) -> list[str]:
    """Prepare a dataset into the data folder that is set; returns its log."""
    log: list[str] = []
    prepare(name, given, subset, log.append, lambda title: nullcontext(lambda done, total: None))
    return log
