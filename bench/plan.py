"""The plan of a profile: its cases, what is reusable, what will run and for how long. Needs no torch."""

from pathlib import Path

from bench import catalog, record
from bench.case import Case


def describe(cases: tuple[Case, ...], folder: Path, profile: str) -> str:
    """The plan as text, a line per case."""
    known = _known_seconds(folder, profile)
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


def _expected(seconds: float, unknown: int) -> str:
    if not seconds and not unknown:
        return "nothing to do"
    if not seconds:
        return "expected time unknown: nothing of this profile was run before"
    text = f"expected time about {seconds / 60:.1f} min" if seconds > 90 else f"expected time about {seconds:.0f} s"
    return text + (f" and {unknown} cases of unknown length" if unknown else "") + ", by earlier runs"


def _known_seconds(folder: Path, profile: str) -> dict[str, float]:
    """Seconds that each case took before: in these results, else in the published report of the profile."""
    published, _ = record.read_all(catalog.ROOT / "reports" / profile)
    here, _ = record.read_all(folder)
    return {
        name: found.seconds for name, found in (published | here).items() if found.seconds and found.status == "done"
    }
