"""Images of one's own as a dataset: what a folder holds, found without torch.

``kind`` says which kind of data a folder is, ``identity`` what it consists of. The images stay where they are; what is known
of them lies in the data folder, made by :mod:`bench.prepare.own` when a session starts.
"""

import hashlib
import json
from dataclasses import asdict
from functools import cache
from pathlib import Path

from bench.data import prepared
from bench.data.own import folder
from bench.data.own.scan import scan
from bench.data.prepared import Source
from bench.declared import Images
from bench.kit import paths
from bench.kit.errors import UserError

READING = 2  # how folders are read: after another number all are looked at anew


def forget() -> None:
    """Look at all folders anew: a session does so once."""
    for function in (scan, kind, signature):
        function.cache_clear()


kind = cache(folder.kind)


def source(name: str, images: Images) -> Source:
    """Where what is known of a declared folder lies; no two declarations share it. Raises :class:`UserError` without it."""
    digest = hashlib.sha256(json.dumps(asdict(images), sort_keys=True).encode()).hexdigest()[:12]
    own = paths.data_folder() / f"{name}-{digest}"
    files = own / "files" if folder.is_packed(images) else Path(images.path)
    return Source(name, own, files, images.size, crop=True, is_own=True)


@cache
def signature(images: Images) -> str:
    """A digest of names, sizes and times of change of all that the folder and the captions' file hold, and of the reading."""
    facts = [[READING], *([name, file.bytes, file.changed] for name, file in scan(images.path).items())]
    if images.captions and (file := Path(images.captions)).exists():
        facts.append([file.stat().st_size, file.stat().st_mtime_ns])
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def is_current(name: str, images: Images) -> bool:
    """Whether what is known of the folder is of its present files."""
    try:
        return prepared.manifest(source(name, images))["signature"] == signature(images)
    except (UserError, KeyError):
        return False


def identity(name: str, images: Images) -> str:
    """What the dataset consists of, as a digest; "missing" where that is not known of the present files."""
    return prepared.identity(source(name, images)) if is_current(name, images) else "missing"
