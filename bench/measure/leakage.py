"""What a teacher may have seen of the evaluation images: counted where that can be known, else said to be unknown.

Three cases can be counted. A pocket teacher's training images are known: drawn ones come from a seed of their own, and
for real ones the two splits' files are compared by content. For a pretrained teacher the ids of its training images
may lie in ``<data>/<dataset>/seen-by-<teacher>.txt`` (one file name a line, for COCO one number; lines that begin with #
are comments), or for COCO in ``dataset_coco.json``, the list of Karpathy's splits on whose train and restval parts BLIP's
COCO checkpoints were fine-tuned. A random teacher has seen nothing.
"""

import hashlib
import json
import re
from pathlib import Path

from bench.data import prepared
from bench.data.split import Split
from bench.kit import paths
from bench.kit.errors import UserError
from bench.plan.case import Case

LIST = "seen-by-{}.txt"  # of a teacher's training images, in the prepared dataset's folder
KARPATHYS, KARPATHYS_READER = "dataset_coco.json", ("coco", "blip")
KNOWN = {
    ("coco", "blip"): "fine-tuned on COCO captions; val2017 is the 2014 minival, most of which is expected in that set",
    ("coco", "clip"): "trained on 400 million pairs from the web, whose list is not public",
    ("tiny-imagenet", "dino"): "trained on ImageNet without labels; Tiny ImageNet is cut from ImageNet",
    ("tiny-imagenet", "beit"): "trained on ImageNet with labels; Tiny ImageNet is cut from ImageNet",
    ("tiny-imagenet", "efficientnet"): "trained on ImageNet with labels; Tiny ImageNet is cut from ImageNet",
}


def note(case: Case, train: Split, test: Split) -> dict:
    """``{"seen": count or None, "of": images, "basis": how it is known}`` for the evaluation images of a case.

    Raises :class:`UserError` naming a list of seen images that cannot be read.
    """
    total = len(test)
    if case.weights == "random" or case.has_random_teacher:
        return {"seen": 0, "of": total, "basis": "random weights: nothing was seen"}
    if case.weights == "pocket" and not prepared.is_prepared_kind(case.dataset):
        same = _same_pixels(train, test)
        return {"seen": same, "of": total, "basis": "evaluation images that are, pixel by pixel, also training images; the "
                "teacher's own training images were drawn with another seed or belong to another set"}  # fmt: skip
    if case.weights == "pocket":
        # Of the whole training split, not only of what this case reads of it.
        trained_on = set(prepared.index(case.dataset, "train")["sha256"])
        return {"seen": sum(digest in trained_on for digest in test.digests), "of": total,
                "basis": "evaluation files whose content is also a training file's, on which the teacher was trained"}  # fmt: skip
    listed, source = _listed(case)
    if listed is not None and listed.isdisjoint(_ids(case.dataset)):
        # The same images by other names, most likely: a count of 0 would be a claim that nothing supports.
        return {"seen": None, "of": total, "basis": f"unknown: {source} names none of the images of {case.dataset} as "
                "this set names its own"}  # fmt: skip
    if listed is None:
        told = KNOWN.get((case.dataset, case.teacher), "the teacher's training images are not listed here")
        return {"seen": None, "of": total, "basis": f"unknown: {told}{_how_to_know(case)}"}
    seen = sum(_id(path.name, case.dataset) in listed for path in test.files)
    return {"seen": seen, "of": total, "basis": f"ids in {source}"}


def _how_to_know(case: Case) -> str:
    """Which list would make it known; nothing for drawn images, which have no names."""
    if not prepared.is_prepared_kind(case.dataset):
        return ""
    told = (
        "; to have them counted, list its training images in "
        f"{case.dataset}/{LIST.format(case.teacher)} of the data folder before the case runs, one name a line, as this set "
        "names its own"
    )
    if (case.dataset, case.teacher) == KARPATHYS_READER:
        told += f", or put Karpathy's splits there as {case.dataset}/{KARPATHYS}"
    return told


def _same_pixels(train: Split, test: Split) -> int:
    """How many test images are, pixel by pixel, also training images."""
    seen = {hashlib.sha256(image.numpy()).digest() for image in train.pixels}
    return sum(hashlib.sha256(image.numpy()).digest() in seen for image in test.pixels)


def _listed(case: Case) -> tuple[set[str] | None, str]:
    """Ids of the images that the teacher was trained on, and the file that lists them; None where none does."""
    folder = paths.data_folder() / case.dataset
    path = folder / LIST.format(case.teacher)
    try:
        if path.is_file():
            lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
            names = [line for line in lines if line and not line.startswith("#")]
            if several := [name for name in names if len(name.split()) > 1]:
                raise ValueError(f"expected one name a line, got {several[0][:60]!r}")
            return {_id(name, case.dataset) for name in names}, path.name
        path = folder / KARPATHYS
        if (case.dataset, case.teacher) == KARPATHYS_READER and path.is_file():
            images = json.loads(path.read_text(encoding="utf-8"))["images"]
            names = [image["filename"] for image in images if image["split"] in ("train", "restval")]
            return {_id(name, case.dataset) for name in names}, path.name
    except (ValueError, LookupError, TypeError) as error:
        raise UserError(
            f"{path} is no list of seen images ({type(error).__name__}: {error}); correct it, or remove it: then what "
            f"{case.teacher} has seen counts as unknown"
        ) from None
    return None, ""


def _ids(dataset: str) -> set[str]:
    """The ids of all images of a prepared set."""
    return {_id(file, dataset) for split in prepared.SPLITS for file in prepared.index(dataset, split)["files"]}


def _id(name: str, dataset: str) -> str:
    """What identifies an image in lists: for COCO its number, as the files' names changed from 2014 to 2017.

    Elsewhere the file's name without folder and ending: in Tiny ImageNet each class counts from 0.
    """
    stem = Path(name).stem
    digits = re.findall(r"\d+", stem) if dataset == "coco" else []
    return str(int(digits[-1])) if digits else stem
