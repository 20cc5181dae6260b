"""How long cases take, as they did before or by an estimate, and which come first for it. Needs no torch."""

from collections.abc import Iterable
from pathlib import Path
from statistics import mean

from bench import data
from bench.data import prepared
from bench.plan.case import Case, without_seed
from bench.results import record
from bench.results.record import Record
from bench.run.job import by_run

# Seconds of an epoch by what a student reads, in the pocket profile on one thread; where nothing better is known.
EPOCH_SECONDS = {"pixels": 2.0, "tokens": 0.5, "pooled": 0.1}
CASE_SECONDS = 2.0  # what a case costs however short it is


def expected(cases: Iterable[Case], *folders: Path) -> dict[str, float]:
    """Seconds of each case, by id: what it took in the last of these folders that knows it or it with other seeds.

    What none knows has an estimate, times the mean ratio of what is known to its estimates.
    """
    cases = list(cases)
    estimates = {case.id: CASE_SECONDS + case.epochs * EPOCH_SECONDS[case.reads] for case in cases}
    # Of however many images: what is prepared on one machine must not decide what another one runs.
    taken = {name: seconds for folder in folders for (name, _), seconds in taken_by(finished(folder)).items()}
    known = {case.id: taken.get(case.id, taken.get(without_seed(case.id))) for case in cases}
    known = {name: seconds for name, seconds in known.items() if seconds}
    scale = mean(known[name] / estimates[name] for name in known) if known else 1.0
    return {name: known.get(name, scale * estimate) for name, estimate in estimates.items()}


def images_of(case: Case) -> tuple[int, int]:
    """How many training and test images the case has. Raises :class:`bench.kit.errors.UserError` where they are not prepared."""
    wanted = case.train_samples, case.test_samples
    if case.is_drawn:
        return wanted
    splits = prepared.manifest(data.source(case.dataset, case.images))["splits"]
    there = splits["train"]["images"], splits["test"]["images"]
    return tuple(count if most is None else min(count, most) for count, most in zip(there, wanted, strict=True))


def longest_first(cases: Iterable[Case], seconds: dict[str, float]) -> list[Case]:
    """Cases by training run, the longest run first, so that no core waits for it in the end."""
    runs = by_run(cases).values()
    return [case for run in sorted(runs, key=lambda run: -sum(seconds[case.id] for case in run)) for case in run]


def finished(folder: Path) -> dict[str, Record]:
    """A folder's records of finished cases, by id."""
    return {name: entry for name, entry in record.read_all(folder)[0].items() if entry.status == "done"}


def taken_by(records: dict[str, Record]) -> dict[tuple, float]:
    """Seconds of these cases by id and images, and by id without the seed their mean over the seeds."""
    seconds = {
        (name, (entry.protocol.get("train_images"), entry.protocol.get("test_images"))): entry.seconds
        for name, entry in records.items()
        if entry.seconds
    }
    over_seeds: dict[tuple, list[float]] = {}
    for (name, images), taken in seconds.items():
        over_seeds.setdefault((without_seed(name), images), []).append(taken)
    return {key: mean(values) for key, values in over_seeds.items()} | seconds
