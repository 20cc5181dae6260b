"""Scores that depend on the data alone, kept in the data folder: a data set's are worked out once."""

import hashlib
import json
from collections.abc import Callable
from contextlib import suppress

from bench.data.split import Split
from bench.kit import paths
from bench.kit.files import seal, unseal, write_text
from bench.plan import fingerprint


def kept(name: str, splits: tuple[Split, ...], other: str, compute: Callable[[], dict]) -> dict:
    """What ``compute()`` returned before for these splits, by the code of this folder, or returns now.

    ``other`` names whatever else decides it. Raises :class:`bench.kit.files.WriteError` where the disk does not take it.
    """
    labels = ["" if one.labels is None else hashlib.sha256(one.labels.numpy()).hexdigest() for one in splits]
    code = [fingerprint.digest(file) for file in fingerprint.shared("bench/measure")]
    facts = json.dumps([[one.identity for one in splits], labels, other, code])
    path = paths.features_folder() / "scores" / f"{name}-{hashlib.sha256(facts.encode()).hexdigest()[:16]}.json"
    with suppress(OSError, ValueError):  # none yet, or a damaged one
        return unseal(path.read_text(encoding="utf-8"))
    scores = compute()
    write_text(path, seal(scores))
    return scores
