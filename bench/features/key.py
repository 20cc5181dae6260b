"""The key of a teacher's stored features: all that decides what they are.

These are the teacher's tensors, its preprocessing and tokenizer, precision, element type, the data, and the code that
makes the features. Library versions are written beside the store, and differences are logged.
"""

import hashlib
import json
import sys
from dataclasses import replace
from importlib import metadata
from pathlib import Path

from bench.data.split import Split
from bench.features.device import machine
from bench.features.forward import Needs, Pass
from bench.kit import paths, tensor_file
from bench.kit.files import seal, unseal, write_text
from bench.plan import fingerprint
from teachers import Teacher

FORMAT = 1  # of about.json
LIBRARIES = ("torch", "timm", "open_clip_torch", "transformers", "pillow")


def weights_digest(teacher: Teacher) -> str:
    """sha256 of the names and contents of all of a teacher's tensors."""
    return tensor_file.digest({name: tensor.cpu().contiguous() for name, tensor in teacher.state_dict().items()})


def keyed(work: Pass, train: Split, test: Split, digest: str) -> tuple[Pass, Path]:
    """The pass and its folder: that of its own needs, or a complete one that holds more and serves as well."""
    own = work.needs
    # The poorest first, which is its own: all of what is opened is checked.
    passes = [
        replace(work, needs=Needs(tokens, text_tokens, own.dtype))
        for tokens in sorted({own.tokens, True})
        for text_tokens in sorted({own.text_tokens, own.text_tokens or bool(train.captions)})
    ]
    stores = [(one, paths.features_folder() / f"{one.name}-{key(one, train, test, digest)}") for one in passes]
    return next(((one, folder) for one, folder in stores if (folder / "complete").exists()), stores[0])


def key(work: Pass, train: Split, test: Split, digest: str) -> str:
    """The key of what ``work`` stores; ``digest`` is that of the teacher's weights."""
    teacher = work.teacher
    facts = {
        "weights": digest, "transform": teacher.transform, "tokenizer": teacher.tokenizer, "scale": teacher.scale,
        "reduce_to": teacher.reduce_to, "precision": work.precision, "needs": vars(work.needs),
        "data": [_described(train), _described(test)],
        "code": [fingerprint.digest(path) for path in code(teacher)],
    }  # fmt: skip
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def code(teacher: Teacher) -> list[Path]:
    """The files that make features of this teacher."""
    own = Path(sys.modules[type(teacher).__module__].__file__)
    folders = ("bench/data", "bench/features", "teachers")
    return [*(file for folder in folders for file in fingerprint.shared(folder)), own]


def note_origin(work: Pass, folder: Path, digest: str) -> str:
    """Write what does not belong to the key, or log that the store was made with other libraries.

    Returns the machine that began the pass, whose seconds the store holds; "a machine that is not known" where that was
    damaged.
    """
    here = {name: metadata.version(name) for name in LIBRARIES}
    path = folder / "about.json"
    about = {
        "format": FORMAT, "name": work.name, "machine": machine(work.device), "libraries": here, "weights": digest,
        "precision": work.precision, "provenance": work.teacher.provenance, "needs": vars(work.needs),
    }  # fmt: skip
    try:
        about = unseal(path.read_text(encoding="utf-8"), FORMAT)
    except FileNotFoundError:
        write_text(path, seal(about))
    except (OSError, ValueError) as error:
        work.say(f"{paths.shown(path)} is damaged ({error}); it is written anew")
        about["machine"] = "a machine that is not known"
        write_text(path, seal(about))
    there = about["libraries"]
    if changed := [f"{name} {there.get(name)} (now {here[name]})" for name in here if there.get(name) != here[name]]:
        work.say(f"features {folder.name} were stored with {', '.join(changed)}; a sample is checked all the same")
    return about["machine"]


def _described(split: Split) -> list:
    """What the teacher sees of a split, and in which order."""
    owner = "" if split.owner is None else hashlib.sha256(split.owner.numpy()).hexdigest()
    return [split.identity, list(split.pixels.shape), len(split.captions), owner]
