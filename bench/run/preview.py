"""The plan of a profile: its cases, what is reusable, what will run and for how long. Needs no torch."""

from collections.abc import Iterable
from itertools import groupby
from pathlib import Path
from statistics import mean

from bench.kit.paths import ROOT
from bench.plan.case import Case, without_seed
from bench.results import record


def describe(cases: tuple[Case, ...], folder: Path, profile: str) -> str:
    """The plan as text, a line per case."""
    known = _known_seconds(cases, folder, profile)
    width = max(len(case.id) for case in cases)
    lines, seconds, unknown, reused = [f"profile {profile}: {len(cases)} cases; records in {folder}"], 0.0, 0, 0
    for case in cases:
        if record.reusable(case, folder):
            state, reused = "reuse", reused + 1
        elif case.id in known:
            state, seconds = f"run   about {known[case.id]:5.1f} s", seconds + known[case.id]
        else:
            state, unknown = "run   time unknown", unknown + 1
        lines.append(f"  {case.id:{width}}  {case.loss:18}  {state}")
    lines.append(f"{reused} reusable, {len(cases) - reused} to run; {_expected(seconds, unknown)}")
    return "\n".join(lines)


def listed(cases: tuple[Case, ...], folder: Path) -> list[dict]:
    """The plan as plain data: of each case what tells it apart, its fingerprint, and whether a record stands for it."""
    names = "id", "fingerprint", "loss", "epochs", "seed", "control"
    return [
        {name: getattr(case, name) for name in names} | {"reusable": record.reusable(case, folder) is not None}
        for case in cases
    ]


def _expected(seconds: float, unknown: int) -> str:
    if not seconds:
        return "expected time unknown: nothing of this profile was run before" if unknown else "nothing to do"
    text = f"{seconds / 60:.1f} min" if seconds > 90 else f"{seconds:.0f} s"
    return f"expected time about {text}{f' and {unknown} cases of unknown length' * bool(unknown)}, by earlier runs"


def _known_seconds(cases: tuple[Case, ...], folder: Path, profile: str) -> dict[str, float]:
    """Seconds that each case took before, or took with other seeds: here, else in the profile's published report."""
    return seconds_of(cases, ROOT / "reports" / profile) | seconds_of(cases, folder)


def seconds_of(cases: Iterable[Case], folder: Path) -> dict[str, float]:
    """Seconds that cases took in a results folder or published report, or took with other seeds; of those that ran there."""
    taken = _taken(folder)
    found = {case.id: taken.get(case.id, taken.get(without_seed(case.id))) for case in cases}
    return {name: seconds for name, seconds in found.items() if seconds}


def _taken(folder: Path) -> dict[str, float]:
    """Seconds of a folder's finished cases by id, and by id without the seed their mean over the seeds."""
    records, _ = record.read_all(folder)
    seconds = {name: entry.seconds for name, entry in records.items() if entry.seconds and entry.status == "done"}
    over_seeds = groupby(sorted(seconds, key=without_seed), without_seed)
    return {base: mean(seconds[name] for name in names) for base, names in over_seeds} | seconds
