"""What a teacher may have seen of the evaluation images: counted where that can be known, else said to be unknown.

Three cases can be counted. A pocket teacher's training images are known: drawn ones come from a seed of their own, and
for real ones the two splits' files are compared by content. For a pretrained teacher the ids of its training images
may lie in ``<data>/<dataset>/seen-by-<teacher>.txt`` (one id or file name a line), or for COCO in ``dataset_coco.json``,
the list of Karpathy's splits on whose train and restval parts BLIP's COCO checkpoints were fine-tuned. A random teacher
has seen nothing.
"""

import hashlib
import json
import re
from pathlib import Path

from bench import places, prepared
from bench.case import Case
from bench.data import Split
from teachers import Teacher

KNOWN = {
    ("coco", "blip"): "fine-tuned on COCO captions; val2017 is the 2014 minival, most of which is expected in that set",
    ("coco", "clip"): "trained on 400 million pairs from the web, whose list is not public",
    ("tiny-imagenet", "dino"): "trained on ImageNet without labels; Tiny ImageNet is cut from ImageNet",
    ("tiny-imagenet", "beit"): "trained on ImageNet with labels; Tiny ImageNet is cut from ImageNet",
}


def note(case: Case, teacher: Teacher, train: Split, test: Split) -> dict:
    """``{"seen": count or None, "of": images, "basis": how it is known}`` for the evaluation images of a case."""
    total = len(test)
    if case.weights == "random":
        return {"seen": 0, "of": total, "basis": "random weights: nothing was seen"}
    if case.weights == "pocket" and not prepared.is_prepared_kind(case.dataset):
        same = _same_pixels(train, test)
        return {"seen": same, "of": total, "basis": "evaluation images that are also among the training images, by pixels; "
                "the teacher's own were drawn with another seed"}  # fmt: skip
    if case.weights == "pocket":
        return {"seen": _same_files(case.dataset, test), "of": total,
                "basis": "evaluation files whose content is also a training file's, on which the teacher was trained"}  # fmt: skip
    listed, source = _listed(case)
    if listed is None:
        told = KNOWN.get((case.dataset, case.teacher), "the teacher's training images are not listed here")
        return {"seen": None, "of": total, "basis": f"unknown: {told}"}
    return {"seen": sum(_number(path.name) in listed for path in test.files), "of": total, "basis": f"ids in {source}"}


def _same_pixels(train: Split, test: Split) -> int:
    """How many test images are, pixel by pixel, also training images."""
    seen = {hashlib.sha256(image.numpy()).digest() for image in train.pixels}
    return sum(hashlib.sha256(image.numpy()).digest() in seen for image in test.pixels)


def _same_files(dataset: str, test: Split) -> int:
    """How many test files have the content of any training file of the whole prepared set."""
    folder = places.data_folder() / dataset
    listed = json.loads((folder / "train.json").read_text(encoding="utf-8"))
    sizes = {path.stat().st_size for path in test.files}
    same_size = [
        folder / "files" / name for name, size in zip(listed["files"], listed["bytes"], strict=True) if size in sizes
    ]
    seen = {_content(path) for path in same_size}
    return sum(_content(path) in seen for path in test.files)


def _content(path: Path) -> bytes:
    return hashlib.sha256(path.read_bytes()).digest()


def _listed(case: Case) -> tuple[set[str] | None, str]:
    """Ids of the images that the teacher was trained on, and the file that lists them."""
    folder = places.data_folder() / case.dataset
    own = folder / f"seen-by-{case.teacher}.txt"
    if own.is_file():
        return {_number(line) for line in own.read_text(encoding="utf-8").split() if line}, own.name
    splits = folder / "dataset_coco.json"
    if (case.dataset, case.teacher) == ("coco", "blip") and splits.is_file():
        images = json.loads(splits.read_text(encoding="utf-8"))["images"]
        return {_number(one["filename"]) for one in images if one["split"] in ("train", "restval")}, splits.name
    return None, ""


def _number(name: str) -> str:
    """The id in a file name: its last run of digits without leading zeros; the name itself where it has none."""
    digits = re.findall(r"\d+", Path(name).stem)
    return digits[-1].lstrip("0") if digits else name
