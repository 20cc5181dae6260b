"""WebDataset's tars: files that are called alike up to their first dot are one sample (``7.jpg``, ``7.cls``, ``7.txt``)."""

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

from bench.data.own.captions import CAPTION_COLUMNS
from bench.data.own.sample import Sample
from bench.data.own.scan import IMAGES
from bench.kit.errors import UserError

LABELS = ("cls", "label", "class_name")
TEXTS = ("txt", "caption", "text")


def samples(path: Path, labelled: bool) -> Iterator[Sample]:
    """The samples that have an image, in their order, with their labels only where the images are ``labelled``.

    A sample's files lie one after the other.
    """
    name, parts = None, {}
    try:
        with tarfile.open(path, "r:") as archive:
            for member in archive:
                folder, _, last = member.name.rpartition("/")
                if not member.isfile() or last.startswith("."):
                    continue
                stem, _, ending = last.partition(".")
                key = f"{folder}/{stem}" if folder else stem
                if key != name:
                    yield from _sample(name, parts, labelled)
                    name, parts = key, {}
                parts[ending.lower()] = archive.extractfile(member).read()
            yield from _sample(name, parts, labelled)
    except tarfile.TarError as error:
        raise UserError(f"no whole tar file ({error})") from None


def _sample(name: str | None, parts: dict[str, bytes], labelled: bool) -> Iterator[Sample]:
    image = next((data for ending, data in parts.items() if f".{ending}" in IMAGES), None)
    if image is None:
        return
    try:
        facts = json.loads(parts["json"]) if "json" in parts else {}
        label = next((parts[one].decode().strip() for one in LABELS if one in parts), None)
        texts = [parts[one].decode("utf-8", "replace") for one in TEXTS if one in parts]
    except ValueError as error:
        raise UserError(f"sample {name}: {error}") from None
    facts = facts if isinstance(facts, dict) else {}
    if label is None and not isinstance(facts.get("label"), dict | list | None):
        label = str(facts["label"])
    label = label if labelled and label not in ("", "-1") else None  # as in tables
    if not texts:
        known = next((facts[one] for one in CAPTION_COLUMNS if facts.get(one)), [])
        texts = known if isinstance(known, list) else [known]
    captions = tuple(" ".join(text.split()) for text in texts if isinstance(text, str) and text.strip())
    yield Sample(name, image, label, captions)
