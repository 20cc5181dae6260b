"""Records to a report: Markdown with the paper's tables beside what was measured, and an SVG plot."""

import shutil
from dataclasses import replace
from pathlib import Path

from bench import record
from bench.case import Case
from bench.compare import Verdict
from bench.files import write_text
from bench.prepared import is_prepared_kind
from bench.report import pages, plots

PLOTS = {
    "accuracy.svg": plots.accuracy_against_size,
    "curves.svg": plots.learning_curves,
    "in-batch.svg": plots.in_batch,
}


def write(folder: Path, cases: tuple[Case, ...], profile: str, verdict: Verdict | None = None) -> Path:
    """Write ``report.md`` and its plots into ``folder`` from the records there; returns the report's path."""
    records, faults = record.read_all(folder)
    chosen = [(case, current(case, records)) for case in cases]
    pictures = [name for name, draw in PLOTS.items() if draw(chosen, folder / name)]
    # Images of a prepared set are not ours to publish: pictures of them stay in their folder.
    own = [case for case in cases if not is_prepared_kind(case.dataset)]
    pictures += [f"explain/{case.id}.png" for case in own if record.picture_of(folder, case.id).exists()]
    path = folder / "report.md"
    write_text(path, pages.page(profile, chosen, faults, verdict, pictures))
    return path


def current(case: Case, records: dict[str, record.Record]) -> record.Record | None:
    """The case's record, in whatever precision it ran, unless it belongs to another configuration."""
    found = records.get(case.id)
    if found is None:
        return None
    as_run = replace(case, precision=found.case.get("precision", case.precision))
    return found if found.fingerprint == as_run.fingerprint else None


def publish(folder: Path, target: Path) -> list[Path]:
    """Copy a report, its plots, the pictures in it and its records from ``folder`` to ``target``; returns what was written."""
    if target.name in ("runs", "baselines"):
        raise FileNotFoundError(f"a report cannot be published as {target.name}: that folder has another use")
    if not (folder / "report.md").exists():
        raise FileNotFoundError(f"{folder / 'report.md'} does not exist; write it with: python -m bench report")
    shutil.rmtree(target, ignore_errors=True)
    text = (folder / "report.md").read_text(encoding="utf-8")
    drawn = [path for path in (folder / "explain").glob("*.png") if f"(explain/{path.name})" in text]
    sources = [*folder.glob("*.md"), *folder.glob("*.svg"), *drawn, *(folder / "records").glob("*.json")]
    written = []
    for source in sorted(sources):
        destination = target / source.relative_to(folder)
        destination.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, destination)
        written.append(destination)
    return written
