"""How well the executors fill their slots: the paper's matrix with three seeds and all controls, replayed as sleeps.

    python -m tests.bench.run.makespan processes 1 2 8 32 > makespan.jsonl
    uv run --extra ray python -m tests.bench.run.makespan ray 1 2 8 >> makespan.jsonl
    python -m tests.bench.run.makespan plot makespan.jsonl reports/makespan.svg

The executors order, start and wait as always; only what a worker does is a sleep. A case takes the seconds that the same
cell of the pocket matrix took in the published report, times :data:`LONGER` for the size of the real one and a thousand
times shorter; so do the passes of the teachers. No schedule is shorter than its bound, max(work / slots, longest chain), a
chain being a pass and the longest run that waits for it. ``idle`` is what an executor takes for cases of no length.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.kit.figures import drawing
from bench.kit.lock import locked
from bench.kit.paths import ROOT
from bench.kit.progress import Progress
from bench.plan import matrix
from bench.plan.case import Case
from bench.results import record
from bench.run import processes
from bench.run.job import Job, by_run, key_of
from bench.run.lengths import longest_first

LONGER = 100  # one of the paper's cases on a GPU takes minutes where pocket's takes seconds
SHORTER = 1000
DRAWN = {"tiny-imagenet": "shapes", "coco": "scenes"}  # pocket's data of the same kind


class Durations:
    """Seconds of sleep: :meth:`case` by id, :meth:`once` for the pass of a teacher, which the first to come makes."""

    def __init__(self, cases: list[Case], places: Path, scale: float):
        published, _ = record.read_all(ROOT / "reports" / "pocket")
        twins = {case.id: case.id.replace(case.dataset, DRAWN[case.dataset], 1) for case in cases}
        seconds = {name: published[twin] for name, twin in twins.items()}
        self.cases = {name: entry.seconds * scale for name, entry in seconds.items()}
        self.passes = {
            key_of(case): seconds[case.id].metrics["teacher_pass_seconds"] * scale
            for case in cases
            if seconds[case.id].metrics["teacher_pass_seconds"]
        }
        self.places = places

    def bound(self, cases: list[Case], slots: int) -> float:
        """Seconds that no schedule on so many slots can do without."""
        runs = by_run(cases).values()
        chains = [self.passes[key_of(run[0])] + sum(self.cases[case.id] for case in run) for run in runs]
        return max((sum(self.cases.values()) + sum(self.passes.values())) / slots, *chains)

    def once(self, key: tuple) -> None:
        done = self.places / "-".join(map(str, key))
        with locked(done.with_suffix(".lock"), lambda text: None):
            if not done.exists():
                time.sleep(self.passes[key])
                done.touch()

    def run(self, cases: list[Case]) -> dict[str, tuple[None, bool]]:
        for case in cases:
            self.once(key_of(case))
            time.sleep(self.cases[case.id])
        return {case.id: (None, False) for case in cases}


def on_processes(cases: list[Case], durations: Durations, slots: int, job: Job):
    """The executor of one machine, its workers forked from this process."""

    def serve(connection, job: Job) -> None:
        while run := connection.recv():
            for case in run:
                connection.send(("ended", case.id, *durations.run([case])[case.id]))

    processes.METHOD, processes._serve, processes.slots = "fork", serve, lambda device: slots
    return partial(processes.Processes, job, cases, Progress(None))


def on_ray(cases: list[Case], durations: Durations, slots: int, job: Job):
    """Ray on this machine, its workers started before."""
    import ray

    from bench.run import ray_tasks

    ray.shutdown()
    ray.init(num_cpus=slots, include_dashboard=False, logging_level="error")
    with TemporaryDirectory() as folder:
        ray.get([ray.remote(_warm).options(num_cpus=1).remote(Path(folder), slots) for _ in range(slots)])
    ray_tasks._start = lambda ray, address: None
    ray_tasks.facts = lambda case: {}
    ray_tasks.pass_of_teacher = lambda job, case, driver: durations.once(key_of(case))
    ray_tasks.outcomes = lambda job, run, driver, *after: (durations.run(run), [])
    return partial(ray_tasks.RayTasks, job, cases, Progress(None), None)


def _warm(folder: Path, slots: int) -> None:
    """End once all workers are there: one that ended before would be given the work of one that is still to start."""
    (folder / str(os.getpid())).touch()
    while len([*folder.iterdir()]) < slots:
        time.sleep(0.1)


def replay(prepared: Callable, cases: list[Case], slots: int, scale: float) -> dict:
    with TemporaryDirectory() as folder:
        durations = Durations(cases, Path(folder), scale)
        cases = longest_first(cases, durations.cases)
        job = Job(Path(folder), tuple(cases), frozenset(case.id for case in cases), "replay", "cpu")
        start_executor = prepared(cases, durations, slots, job)
        start = time.perf_counter()
        executor = start_executor()
        for case in cases:
            executor.run(case, lambda *rounds: None)
        seconds = time.perf_counter() - start
        executor.stop()
        return {"seconds": round(seconds, 2), "bound": round(durations.bound(cases, slots), 2), "cases": len(cases)}


def plot(lines: list[dict], path: Path) -> None:
    with drawing({"svg.hashsalt": "distill-bench", "svg.fonttype": "none", "font.size": 11}):
        from matplotlib.figure import Figure

        figure = Figure(figsize=(6.2, 3.4), layout="constrained")
        panel = figure.subplots()
        bounds = sorted({(line["slots"], line["bound"]) for line in lines})
        panel.plot(*zip(*bounds, strict=True), color="#6e7781", linestyle=":", label="bound")
        for engine, marker in (("processes", "o"), ("ray", "s")):
            points = [(line["slots"], line["seconds"]) for line in lines if line["engine"] == engine]
            panel.plot(*zip(*points, strict=True), marker=marker, linestyle="", label=engine)
        panel.set(xscale="log", yscale="log", xlabel="slots (log)", ylabel="seconds of the replay (log)")
        panel.set_xticks([1, 2, 8, 32], ["1", "2", "8", "32"], minor=False)
        panel.grid(alpha=0.3)
        panel.legend(frameon=False)
        figure.savefig(path, format="svg", metadata={"Date": None})


def main(what: str, *arguments: str) -> None:
    if what == "plot":
        lines = [json.loads(line) for line in Path(arguments[0]).read_text().splitlines()]
        plot(lines, Path(arguments[1]))
        return
    record.load = lambda folder, case_id: None  # sleeps leave none
    cases = [*matrix.cases(matrix.load(), "paper", seeds=(0, 1, 2), controls=("no-distillation", "random-teacher"))]
    prepared = {"processes": on_processes, "ray": on_ray}[what]
    for slots in map(int, arguments):
        line = {"engine": what, "slots": slots} | replay(prepared, cases, slots, LONGER / SHORTER)
        print(json.dumps(line | {"idle": replay(prepared, cases, slots, 0.0)["seconds"]}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
