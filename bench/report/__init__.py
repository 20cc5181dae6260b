"""Records to a report: Markdown with the paper's tables beside what was measured, its plots, and other forms of it."""

import shutil
from dataclasses import replace
from pathlib import Path

from bench import record
from bench.case import Case
from bench.compare import Verdict
from bench.files import write_atomically, write_text
from bench.prepared import is_prepared_kind
from bench.report import latex_tables, long_form, pages, plots, web_page
from bench.report.results import Chosen
from bench.report.themes import THEMES, file_name

PLOTS = {
    "accuracy": plots.accuracy_against_size,
    "curves": plots.learning_curves,
    "in-batch": plots.in_batch,
}
MARKDOWN, FORMS = "report.md", ("report.html", "report.csv", "report.tex")


def write(folder: Path, cases: tuple[Case, ...], profile: str, verdict: Verdict | None = None) -> Path:
    """Write ``report.md`` and its plots into ``folder`` from the records there; returns the report's path.

    Other forms that lie there are of an older report, and go.
    """
    for name in FORMS:
        (folder / name).unlink(missing_ok=True)
    text, _ = _drawn(folder, cases, profile, verdict)
    path = folder / MARKDOWN
    write_text(path, text)
    return path


def html(folder: Path, cases: tuple[Case, ...], profile: str) -> Path:
    """Write the same report as ``report.html``, one page with its plots inside; returns its path."""
    text, pictures = _drawn(folder, cases, profile, None)
    path = folder / "report.html"
    write_text(path, web_page.page(text, folder, pictures))
    return path


def csv(folder: Path, cases: tuple[Case, ...]) -> Path:
    """Write the metrics of the cases' records as ``report.csv``; returns its path."""
    chosen, _ = _chosen(folder, cases)
    path = folder / "report.csv"
    # In binary, so that no system changes the line ends that the form asks for.
    write_atomically(path, lambda temporary: temporary.write_bytes(long_form.csv(chosen).encode()))
    return path


def latex(folder: Path, cases: tuple[Case, ...]) -> Path:
    """Write the tables of gains as ``report.tex``; returns its path."""
    chosen, _ = _chosen(folder, cases)
    path = folder / "report.tex"
    write_text(path, latex_tables.latex(chosen))
    return path


def _drawn(folder: Path, cases: tuple[Case, ...], profile: str, verdict: Verdict | None) -> tuple[str, list[str]]:
    """The report's Markdown, and the names of the files that it shows; draws the plots."""
    chosen, faults = _chosen(folder, cases)
    drawn = {
        name: [file_name(name, theme) for theme in THEMES if draw(chosen, folder / file_name(name, theme), theme)]
        for name, draw in PLOTS.items()
    }
    # Images of a prepared set are not ours to publish: pictures of them stay in their folder.
    own = [case for case in cases if not is_prepared_kind(case.dataset)]
    pictures = [f"explain/{case.id}.png" for case in own if record.picture_of(folder, case.id).exists()]
    text = pages.page(profile, chosen, faults, verdict, [name for name, files in drawn.items() if files] + pictures)
    return text, [file for files in drawn.values() for file in files] + pictures


def _chosen(folder: Path, cases: tuple[Case, ...]) -> tuple[Chosen, list[str]]:
    """Each case with its record, and what is wrong with records that cannot be used."""
    records, faults = record.read_all(folder)
    return [(case, current(case, records)) for case in cases], faults


def current(case: Case, records: dict[str, record.Record]) -> record.Record | None:
    """The case's record, in whatever precision it ran, unless it belongs to another configuration."""
    found = records.get(case.id)
    if found is None:
        return None
    as_run = replace(case, precision=found.case.get("precision", case.precision))
    return found if found.fingerprint == as_run.fingerprint else None


def publish(folder: Path, target: Path) -> list[Path]:
    """Copy a report in each form there is, its plots and pictures and its records; returns what was written.

    From ``folder`` to ``target``, of which nothing older is left. Raises ``FileNotFoundError`` where there is no report.
    """
    if target.name in ("runs", "baselines"):
        raise FileNotFoundError(f"a report cannot be published as {target.name}: that folder has another use")
    report = folder / MARKDOWN
    if not report.exists():
        raise FileNotFoundError(f"{report} does not exist; write it with: python -m bench report")
    shutil.rmtree(target, ignore_errors=True)
    text = report.read_text(encoding="utf-8")
    drawn = [path for path in (folder / "explain").glob("*.png") if f"(explain/{path.name})" in text]
    forms = [folder / name for name in (MARKDOWN, *FORMS) if (folder / name).exists()]
    sources = [*forms, *folder.glob("*.svg"), *drawn, *(folder / "records").glob("*.json")]
    written = []
    for source in sorted(sources):
        destination = target / source.relative_to(folder)
        destination.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, destination)
        written.append(destination)
    return written
