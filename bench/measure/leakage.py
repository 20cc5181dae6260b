"""How many evaluation images a teacher has seen in its own training: counted where that can be known, else unknown.

A random teacher has seen nothing. A pocket teacher's training images are known: the splits are compared by pixels, or
by the content of their files. Those of a pretrained teacher may be listed in ``<data>/<dataset>/seen-by-<teacher>.txt``
(one file name a line, for COCO one number; lines that begin with # are comments), or for BLIP on COCO in Karpathy's
``dataset_coco.json``: its COCO checkpoints were fine-tuned on the train and restval parts.
"""

import hashlib
import json
import re
from pathlib import Path

from bench import data
from bench.data import prepared, twins
from bench.data.split import Split
from bench.kit import paths
from bench.kit.errors import UserError
from bench.plan.case import Case

LIST = "seen-by-{}.txt"
KARPATHYS, KARPATHYS_READER = "dataset_coco.json", ("coco", "blip")
KNOWN = {
    ("coco", "blip"): "fine-tuned on COCO captions; val2017 is the 2014 minival, most of which is expected in that set",
    ("coco", "clip"): "trained on 400 million pairs from the web, whose list is not public",
    ("tiny-imagenet", "dino"): "trained on ImageNet without labels; Tiny ImageNet is cut from ImageNet",
    ("tiny-imagenet", "beit"): "trained on ImageNet with labels; Tiny ImageNet is cut from ImageNet",
    ("tiny-imagenet", "efficientnet"): "trained on ImageNet with labels; Tiny ImageNet is cut from ImageNet",
}


def note(case: Case, train: Split, test: Split) -> dict:
    """``{"seen": count or None, "of": images, "basis": how it is known}`` for the evaluation images of a case;
    of several teachers, what one has seen at most.

    Raises :class:`UserError` naming a list of seen images that cannot be read.
    """
    answers = {one.teacher: _seen(one, train, test) for one in case.alone}
    seen, basis = next(iter(answers.values()))
    if len({*answers.values()}) > 1:
        counts = [count for count, _ in answers.values()]
        seen = None if None in counts else max(counts)
        basis = "the most that one of them has; " + "; ".join(f"{name}: {how}" for name, (_, how) in answers.items())
    labels = None if train.labels is None else (train.labels.tolist(), test.labels.tolist())
    if twice := twins.count(train.checksums, test.checksums, labels).text:
        basis += f"; {twice}"
    return {"seen": seen, "of": len(test), "basis": basis}


def _seen(case: Case, train: Split, test: Split) -> tuple[int | None, str]:
    dataset, reader, has_files = case.dataset, (case.dataset, case.teacher), not case.is_drawn
    source = data.source(dataset, case.images) if has_files else None
    if case.weights == "random" or case.has_random_teacher:
        return 0, "random weights: nothing was seen"
    if case.weights == "pocket" and has_files:
        # Of the whole training split, not only of what this case reads of it.
        trained_on = set(prepared.index(source, "train")["checksums"])
        seen = sum(checksum in trained_on for checksum in test.checksums)
        return seen, "evaluation files whose content is also a training file's, on which the teacher was trained"
    if case.weights == "pocket":
        digests = [[hashlib.sha256(image.numpy()).digest() for image in split.pixels] for split in (train, test)]
        trained_on = set(digests[0])
        return sum(digest in trained_on for digest in digests[1]), (
            "evaluation images that are, pixel by pixel, also training images; the teacher's own training images were "
            "drawn with another seed or belong to another set"
        )
    lists = {LIST.format(case.teacher): _names} | ({KARPATHYS: _karpathys_names} if reader == KARPATHYS_READER else {})
    for file, names_in in lists.items():
        path = paths.data_folder() / dataset / file
        if not path.is_file():
            continue
        try:
            listed = {_id(name, source) for name in names_in(path.read_text(encoding="utf-8-sig"))}
        except (ValueError, LookupError, TypeError) as error:
            raise UserError(
                f"{path} is no list of seen images ({type(error).__name__}: {error}); correct it, or remove it: then what "
                f"{case.teacher} has seen counts as unknown"
            ) from None
        own = {_id(name, source) for split in prepared.SPLITS for name in prepared.index(source, split)["files"]}
        if listed.isdisjoint(own):
            # The same images by other names, most likely: a count of 0 would be a claim that nothing supports.
            return None, f"unknown: {file} names none of the images of {dataset} as this set names its own"
        shown = (path.relative_to(source.files).as_posix() for path in test.files)
        return sum(_id(name, source) in listed for name in shown), f"ids in {file}"
    basis = "unknown: " + KNOWN.get(reader, "the teacher's training images are not listed here")
    if has_files:
        basis += (
            f"; to have them counted, list its training images in {dataset}/{LIST.format(case.teacher)} of the data folder "
            "before the case runs, one name a line, as this set names its own"
        )
    if KARPATHYS in lists:
        basis += f", or put Karpathy's splits there as {dataset}/{KARPATHYS}"
    return None, basis


def _names(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith("#")]


def _karpathys_names(text: str) -> list[str]:
    return [image["filename"] for image in json.loads(text)["images"] if image["split"] in ("train", "restval")]


def _id(name: str, source: prepared.Source) -> str:
    """What identifies an image in lists: for COCO its number, as the files' names changed from 2014 to 2017.

    In Tiny ImageNet the file's name without folder and ending, which has the class in it; of one's own images the path.
    """
    if source.is_own:
        return name.replace("\\", "/").removeprefix("./")
    if len(name.split()) > 1:
        raise ValueError(f"expected one name a line, got {name[:60]!r}")
    stem = Path(name).stem
    digits = re.findall(r"\d+", stem) if source.name == "coco" else []
    return str(int(digits[-1])) if digits else stem
