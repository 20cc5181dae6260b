"""Records to a report: Markdown with the paper's tables beside what was measured, its plots, and other forms of it."""

from dataclasses import replace
from itertools import chain
from pathlib import Path

from bench.data.prepared import is_prepared_kind
from bench.kit.files import write_atomically, write_text
from bench.plan.case import Case
from bench.plan.schema import Tolerance
from bench.report import latex_tables, long_form, pages, plots, web_page
from bench.report.content import Report
from bench.report.publishing import FORMS, MARKDOWN
from bench.report.publishing import publish as publish
from bench.report.publishing import require_apart as require_apart
from bench.report.results import Chosen
from bench.report.themes import THEMES, file_name
from bench.results import compare, record
from bench.results.verdict import Verdict

PLOTS = {
    "accuracy": plots.accuracy_against_size,
    "curves": plots.learning_curves,
    "in-batch": plots.in_batch,
}


def write(folder: Path, cases: tuple[Case, ...], profile: str, verdict: Verdict | None = None) -> Path:
    """Write ``report.md`` and its plots into ``folder`` from the records there; returns the report's path.

    Other forms that lie there are of an older report, and go.
    """
    path = folder / MARKDOWN
    write_text(path, pages.page(_drawn(folder, cases, profile, verdict)[0]))
    for name in FORMS:
        (folder / name).unlink(missing_ok=True)
    return path


def html(folder: Path, cases: tuple[Case, ...], profile: str, verdict: Verdict | None = None) -> Path:
    """Write the same report as ``report.html``, one page with its plots inside; returns its path."""
    content, files = _drawn(folder, cases, profile, verdict)
    path = folder / "report.html"
    write_text(path, web_page.page(pages.page(content), folder, files))
    return path


def csv(folder: Path, cases: tuple[Case, ...]) -> Path:
    """Write the metrics of the cases' records as ``report.csv``; returns its path."""
    path, text = folder / "report.csv", long_form.csv(_chosen(folder, cases)[0])
    # In binary, so that no system changes the line ends that the form asks for.
    write_atomically(path, lambda temporary: temporary.write_bytes(text.encode()))
    return path


def latex(folder: Path, cases: tuple[Case, ...]) -> Path:
    """Write the tables of gains as ``report.tex``; returns its path."""
    path = folder / "report.tex"
    write_text(path, latex_tables.latex(Report("", _chosen(folder, cases)[0])))
    return path


def _drawn(folder: Path, cases: tuple[Case, ...], profile: str, verdict: Verdict | None) -> tuple[Report, list[str]]:
    """The report, and the names of the files that it shows; draws the plots."""
    chosen, faults = _chosen(folder, cases)
    drawn = {
        name: [file_name(name, theme) for theme in THEMES if draw(chosen, folder / file_name(name, theme), theme)]
        for name, draw in PLOTS.items()
    }
    content = Report(profile, chosen, tuple(faults), verdict)
    # Images of a prepared set are not ours to publish: pictures of them stay in their folder.
    own = [case for case, _ in content.done if not is_prepared_kind(case.dataset)]
    pictures = [f"explain/{case.id}.png" for case in own if record.has_picture(folder, case.id)]
    shown = [name for name, files in drawn.items() if files] + pictures
    return replace(content, pictures=tuple(shown)), [*chain(*drawn.values()), *pictures]


def _chosen(folder: Path, cases: tuple[Case, ...]) -> tuple[Chosen, list[str]]:
    """Each case with its record, and what is wrong with records that cannot be used."""
    records, faults = record.read_all(folder)
    return [(case, current(case, records)) for case in cases], faults


def against_baseline(
    folder: Path, cases: tuple[Case, ...], baseline: Path, tolerances: dict[str, Tolerance]
) -> Verdict:
    """Hold the records in ``folder`` against a baseline's file, as if all cases had just run.

    Each counts in the precision it ran in. Raises :class:`~bench.results.baseline.BaselineError` where the file is no baseline.
    """
    chosen, _ = _chosen(folder, cases)
    results = {entry.as_run(case) if entry else case: entry for case, entry in chosen}
    return compare.against_file(baseline, tuple(results), results, tolerances)


def current(case: Case, records: dict[str, record.Record]) -> record.Record | None:
    """The case's record, in whatever precision it ran, unless it belongs to another configuration."""
    entry = records.get(case.id)
    return entry if entry and entry.fingerprint == entry.as_run(case).fingerprint else None
