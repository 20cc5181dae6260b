"""What the parts of a session cost as images and students grow: CPU seconds of one thread.

OMP_NUM_THREADS=1 python -m tests.bench.run.scaling images 2048 4096 8192 16384
OMP_NUM_THREADS=1 python -m tests.bench.run.scaling students 2048 8192
python -m tests.bench.run.scaling plot IMAGES STUDENTS SVG          the files with what the two have printed

Shapes and the pocket teacher beit, one epoch, a quarter as many test images. The first prints a line of JSON for each number of
images, with a projection as student; the second the sums after one to six students of a teacher. What is measured at the end is so without the student's probe.
"""

import json
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from bench.features.device import Device
from bench.features.extract import weights_of
from bench.kit import paths
from bench.kit.progress import Progress
from bench.plan import matrix
from bench.results import record
from bench.run.case import CaseRun, needs_of, on_data, splits_of
from teachers import load

CASES = {case.student: case for case in matrix.cases(matrix.load(), "pocket") if case.run.startswith("shapes-beit")}
DEVICE, QUIET = Device("cpu", "auto"), Progress(None)


def timed(call):
    """What ``call()`` returns, and its CPU seconds."""
    start = time.process_time()
    return call(), time.process_time() - start


def session(images, students):
    """Seconds by part; those of students are of the last one, but for their sums."""
    paths.use(Path(tempfile.mkdtemp()))
    cases = [replace(CASES[one], train_samples=images, test_samples=images // 4, epochs=1) for one in students]
    teacher, known, seconds = load("beit", weights_of(cases[0]), cases[0].geometry, None), {}, {}

    def once(key, compute):
        return known[key] if key in known else known.setdefault(key, compute())

    splits, seconds["draw"] = timed(lambda: splits_of(cases[0]))
    call = lambda: on_data(cases[0], [teacher], splits, needs_of(cases[0], cases), DEVICE, QUIET)  # noqa: E731
    shared, seconds["teacher's pass"] = timed(call)
    spent, sums = sum(seconds.values()), []
    for case in cases:
        make = lambda case=case: CaseRun(case, shared, Path(tempfile.mkdtemp()), set(), DEVICE, QUIET)  # noqa: E731
        run, beginning = timed(make)
        _, seconds["epoch"] = timed(run.training.epoch)
        scores, seconds["point of the curve"] = timed(run._evaluate)
        run.training.save(scores)
        _, seconds["probe"] = timed(lambda run=run: run._model.probe)
        _, seconds["measured at the end"] = timed(lambda run=run, case=case: run.measure(record.Record.of(case), once))
        spent += beginning + sum(seconds[name] for name in ("epoch", "point of the curve", "measured at the end"))
        sums.append(round(spent, 2))
    return {"images": images, **{name: round(value, 3) for name, value in seconds.items()}, "after students": sums}


def plot(images, students, path):
    """Both as curves on two axes, with equal steps for equal factors of images: a straight line at 45 degrees is linear."""
    from matplotlib.figure import Figure

    by_images, by_students = (
        [json.loads(line) for line in Path(file).read_text().splitlines()] for file in (images, students)
    )
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    for name in ("draw", "teacher's pass", "epoch", "point of the curve", "probe"):
        left.loglog([line["images"] for line in by_images], [line[name] for line in by_images], marker="o", label=name)
    left.set(xlabel="training images", ylabel="CPU seconds")
    for line in by_students:
        sums = line["after students"]
        right.plot(range(1, len(sums) + 1), sums, marker="o", label=f"{line['images']:,} images")
    right.set(xlabel="students of one teacher", ylabel="CPU seconds of the session", ylim=0)
    for axis in (left, right):
        axis.legend(frameon=False)
    figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    if sys.argv[1] == "plot":
        sys.exit(plot(*sys.argv[2:]))
    chosen = ["projection"] if sys.argv[1] == "images" else list(CASES)
    session(512, ["projection"])  # loads what is loaded once
    for count in map(int, sys.argv[2:]):
        print(json.dumps(session(count, chosen)), flush=True)
