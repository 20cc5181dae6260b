"""The plan of a profile: its cases, what is reusable, what will run and for how long. Needs no torch."""

from collections.abc import Callable, Iterable
from heapq import heapreplace
from pathlib import Path
from typing import TYPE_CHECKING

from bench.kit.environment import machine
from bench.kit.errors import UserError
from bench.kit.markdown import counted, duration, gigabytes
from bench.kit.paths import ROOT
from bench.plan.case import Case, without_seed
from bench.results import record
from bench.run.job import by_run, key_of
from bench.run.lengths import finished, images_of, longest_first, taken_by

if TYPE_CHECKING:
    from bench.run.estimate import Trials


def describe(
    cases: tuple[Case, ...],
    folder: Path,
    profile: str,
    workers: int = 1,
    trials: "Callable[[list[Case]], Trials] | None" = None,
) -> str:
    """The plan as text, a line per case; the expected time is that of so many ``workers``.

    ``trials`` estimates the cases of which no run is known, as far as it can.
    """
    known, machines = _known(cases, folder, profile)
    new = [case for case in cases if not record.reusable(case, folder)]
    to_run = {case.id for case in new}
    unknown = [case for case in new if case.id not in known]
    trial = trials(unknown) if trials and unknown else None
    tried = trial.seconds if trial else {}
    sources = [*dict.fromkeys(f"earlier runs on {machines[case.id]}" for case in new if case.id in machines)]
    sources += ["trial steps"] * bool(tried)
    known |= tried
    width = max(len(case.id) for case in cases)
    lines = [f"profile {profile}: {counted(len(cases), 'case')}; records in {folder}"]
    for case in cases:
        if case.id not in to_run:
            state = "reuse"
        else:
            took = known.get(case.id)
            state = f"run   about {took:5.1f} s" if took else "run   time unknown"
            state += ", by trial steps" * (case.id in tried)
        lines.append(f"  {case.id:{width}}  {case.loss:18}  {state}")
    passes = len({key_of(case) for case in new})
    stored = {(key_of(case), case.views) for case in new if case.asks_teacher and case.views not in (1, "live")}
    views = f" and {sum(count for _, count in stored)} over augmented views" if stored else ""
    lines.append(
        f"{len(cases) - len(new)} reusable, {len(new)} to run in {counted(len(by_run(new)), 'training run')}, after {passes} "
        f"{'pass' if passes == 1 else 'passes'} of teachers{views}; {_expected(new, known, workers, ' and '.join(sources))}"
    )
    if trial and trial.stored:
        lines[-1] += f"; features of what was never run take about {gigabytes(trial.stored)}"
    return "\n".join(lines)


def lengths_of_runs(cases: Iterable[Case], seconds: dict[str, float]) -> list[float]:
    """Seconds of each training run of these cases, which take ``seconds`` by id, in the order in which they start."""
    return [sum(seconds[case.id] for case in run) for run in by_run(longest_first(cases, seconds)).values()]


def makespan(runs: Iterable[float], workers: int) -> float:
    """Seconds until ``workers`` have done runs of these lengths, each free one taking the next."""
    free = [0.0] * workers
    for seconds in runs:
        heapreplace(free, free[0] + seconds)
    return max(free)


def listed(cases: tuple[Case, ...], folder: Path) -> list[dict]:
    """The plan as plain data: of each case what tells it apart, its fingerprint, and whether a record stands for it."""
    names = "id", "fingerprint", "loss", "epochs", "seed", "control"
    return [
        {name: getattr(case, name) for name in names} | {"reusable": record.reusable(case, folder) is not None}
        for case in cases
    ]


def _expected(new: list[Case], known: dict[str, float], workers: int, source: str) -> str:
    if not new:
        return "nothing to do"
    unknown = sum(case.id not in known for case in new)
    if unknown == len(new):
        return "expected time unknown: nothing of this profile was run before, and its images are not prepared, or its teachers not there, to try"
    seconds = {case.id: known.get(case.id, 0.0) for case in new}
    runs = lengths_of_runs(new, seconds)
    text = f"about {duration(makespan(runs, workers))}"
    if workers > 1:
        text = f"of {workers} workers {text}, {duration(sum(runs))} of work"
    text += f" and {counted(unknown, 'case')} of unknown length" if unknown else ""
    return f"expected time {text}, by {source}"


def _known(cases: tuple[Case, ...], folder: Path, profile: str) -> tuple[dict[str, float], dict[str, str]]:
    """Seconds that each case took before, or took with other seeds, on as many images: here, else in the profile's published
    report; and on which machines it was."""
    known, machines = {}, {}
    for records in map(finished, (ROOT / "reports" / profile, folder)):
        taken = taken_by(records)
        on = " and ".join(dict.fromkeys(machine(entry.environment["hardware"]) for entry in records.values()))
        for case in cases:
            images = _images(case)
            if seconds := taken.get((case.id, images), taken.get((without_seed(case.id), images))):
                known[case.id], machines[case.id] = seconds, on
    return known, machines


def _images(case: Case) -> tuple[int, int] | None:
    try:
        return images_of(case)
    except UserError:  # not prepared
        return None
