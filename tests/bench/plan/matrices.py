"""The shipped matrix, changed, and its cases."""

from bench.plan import matrix

TEXT = matrix.DEFAULT.read_text()


def load(tmp_path, old="", new=""):
    assert old in TEXT, f"{old!r} is not in matrix.yaml; the test needs another anchor"
    path = tmp_path / "matrix.yaml"
    path.write_text(TEXT.replace(old, new, 1))
    return matrix.load(path)


def cases(loaded=None, profile="pocket", **chosen):
    return {case.id: case for case in matrix.cases(loaded or matrix.load(), profile, **chosen)}
