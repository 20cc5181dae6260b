"""The shipped matrix, changed, or one profile of its own, and its cases."""

import yaml

from bench.plan import matrix

TEXT = matrix.DEFAULT.read_text()


def load(tmp_path, old="", new=""):
    assert old in TEXT, f"{old!r} is not in matrix.yaml; the test needs another anchor"
    path = tmp_path / "matrix.yaml"
    path.write_text(TEXT.replace(old, new, 1))
    return matrix.load(path)


def cases(loaded=None, profile="pocket", **chosen):
    return {case.id: case for case in matrix.cases(loaded or matrix.load(), profile, **chosen)}


PROFILE = {
    "weights": "pocket", "students": ["projection"], "epochs": [1], "seeds": [0], "samples": {"train": 48, "test": 24},
    "widths": {"embedding": 16, "bottleneck": 8, "trunk": "pocket"},
}  # fmt: skip
TRAINING = {"batch_size": 16, "learning_rate": 1e-3, "weight_decay": 0.05, "warmup_steps": 2}


def planned(tmp_path, pairs, **profile):
    """The cases of a small profile of these pairs."""
    path = tmp_path / "matrix.yaml"
    profiles = {"p": PROFILE | {"pairs": pairs} | profile}
    path.write_text(yaml.safe_dump({"profiles": profiles, "training": TRAINING}))
    return matrix.cases(matrix.load(path), "p", path)
