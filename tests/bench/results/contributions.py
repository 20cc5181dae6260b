"""Contributed runs made by hand: records that state what their lines say, and files of lines."""

from hashlib import sha256

from bench.kit.files import seal, unseal
from bench.plan import matrix
from bench.results import contributed, record
from bench.results.contributed import FORMAT
from tests.bench.made import made

CASES = matrix.cases(matrix.load(), "pocket", seeds=(0, 1, 2), controls=("untrained", "no-distillation"))
DENSENET = [case for case in CASES if (case.dataset, case.teacher, case.student) == ("shapes", "beit", "densenet")]
LONG = [case for case in DENSENET if case.epochs == 10 and case.control is None]  # three seeds


def contributable(case, accuracy=60.0, started="2026-11-29T02:00:00+00:00", **changes):
    """A finished record that says all that a line needs."""
    entry = made(case, accuracy, **changes)
    entry.started = started
    entry.environment["git"] = {"commit": "0" * 40, "dirty": False}
    entry.protocol = {
        "version": record.PROTOCOL, "train_images": 2048, "test_images": 500, "teacher": {"revision": None},
        "teacher_weights_sha256": "7" * 64, "student_weights_sha256": sha256(repr(case).encode()).hexdigest(),
    }  # fmt: skip
    return entry


def contribute(folder, name, entries):
    """The file of a run with these records."""
    run = folder / "runs" / name
    for entry in entries:
        record.write(entry, run)
    return contributed.add(run, None, folder)[0]


def edit(path, change):
    """Let ``change(lines)`` edit the lines of a file, plain dicts, and seal them again."""
    lines = [unseal(text, FORMAT) for text in path.read_text().splitlines()]
    change(lines)
    path.write_text("".join(seal(line, indent=None) for line in lines))
