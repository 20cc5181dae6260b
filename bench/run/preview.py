"""The plan of a profile: its cases, what is reusable, what will run and for how long. Needs no torch."""

from pathlib import Path
from statistics import mean

from bench.kit.paths import ROOT
from bench.plan.case import Case, without_seed
from bench.results import record


def describe(cases: tuple[Case, ...], folder: Path, profile: str) -> str:
    """The plan as text, a line per case."""
    known = _known_seconds(cases, folder, profile)
    reused = {case.id for case in cases if record.reusable(case, folder)}
    lines = [f"profile {profile}: {len(cases)} cases; records in {folder}"]
    width = max(len(case.id) for case in cases)
    left, unknown = 0.0, 0
    for case in cases:
        if case.id in reused:
            state = "reuse"
        elif (seconds := known.get(case.id)) is not None:
            state, left = f"run   about {seconds:5.1f} s", left + seconds
        else:
            state, unknown = "run   time unknown", unknown + 1
        lines.append(f"  {case.id:{width}}  {case.loss:18}  {state}")
    lines.append(f"{len(reused)} reusable, {len(cases) - len(reused)} to run; {_expected(left, unknown)}")
    return "\n".join(lines)


def listed(cases: tuple[Case, ...], folder: Path) -> list[dict]:
    """The plan as plain data: of each case what tells it apart, its fingerprint, and whether a record stands for it."""
    return [
        {
            **{name: getattr(case, name) for name in ("id", "fingerprint", "loss", "epochs", "seed", "control")},
            "reusable": record.reusable(case, folder) is not None,
        }
        for case in cases
    ]


def _expected(seconds: float, unknown: int) -> str:
    if not seconds and not unknown:
        return "nothing to do"
    if not seconds:
        return "expected time unknown: nothing of this profile was run before"
    text = f"expected time about {seconds / 60:.1f} min" if seconds > 90 else f"expected time about {seconds:.0f} s"
    return text + (f" and {unknown} cases of unknown length" if unknown else "") + ", by earlier runs"


def _known_seconds(cases: tuple[Case, ...], folder: Path, profile: str) -> dict[str, float]:
    """Seconds that each case took before, or took with other seeds: here, else in the profile's published report."""
    known = {}
    for taken in (_taken(ROOT / "reports" / profile), _taken(folder)):
        for case in cases:
            if seconds := taken.get(case.id, taken.get(without_seed(case.id))):
                known[case.id] = seconds
    return known


def _taken(folder: Path) -> dict[str, float]:
    """Seconds of a folder's finished cases by id, and by id without the seed their mean over the seeds."""
    records, _ = record.read_all(folder)
    taken = {name: one.seconds for name, one in records.items() if one.seconds and one.status == "done"}
    over_seeds: dict[str, list[float]] = {}
    for name, seconds in taken.items():
        over_seeds.setdefault(without_seed(name), []).append(seconds)
    return {name: mean(values) for name, values in over_seeds.items()} | taken
