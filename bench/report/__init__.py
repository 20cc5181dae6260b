"""Records to a report: Markdown with the paper's tables beside what was measured, its plots, and other forms of it."""

import shutil
from argparse import Namespace
from collections.abc import Collection
from dataclasses import replace
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.kit.errors import UserError
from bench.kit.files import WriteError, unwritten, write_text
from bench.plan import matrix
from bench.plan.case import Case
from bench.plan.schema import Tolerance
from bench.report import forms, pages, web_page
from bench.report.content import Chosen, Report
from bench.report.redraw import draw_all
from bench.results import compare, record, running
from bench.results.baseline import Baseline
from bench.results.verdict import Verdict

MARKDOWN = "report.md"
FORMS = {"html": "report.html", "csv": "report.csv", "latex": "report.tex"}


def write(
    folder: Path,
    cases: tuple[Case, ...],
    profile: str,
    verdict: Verdict | None = None,
    also: Collection[str] = (),
    options: str | None = None,
    older: bool = False,
) -> list[Path]:
    """Write ``report.md``, its plots and ``also`` some of :data:`FORMS` into ``folder``, from the records there.

    Returns the paths of the report and of those forms. A form that lies there of an earlier report is renewed as well. With
    ``older`` records count that other code made, see :func:`chosen`.
    """
    given, faults = chosen(folder, cases, older)
    report = Report(profile, given, tuple(faults), verdict, options=options)
    if older:
        report = replace(report, older=sum(not entry.is_current(case) for case, entry in report.done))
    plots = draw_all(report, folder)
    # Images of a prepared set are not ours to publish: pictures of them stay in their folder.
    own = [case for case, _ in report.done if case.is_drawn]
    pictures = [f"explain/{case.id}.png" for case in own if record.picture_of(folder, case.id).exists()]
    report = replace(report, pictures=(*(name for name, themes in plots.items() if themes), *pictures))
    markdown, images = pages.page(report), [*chain(*plots.values()), *pictures]
    written = [folder / MARKDOWN]
    write_text(written[0], markdown)
    for form, text in (
        ("html", lambda: web_page.page(markdown, folder, images)),
        ("csv", lambda: forms.csv(report)),
        ("latex", lambda: forms.latex(report)),
    ):
        path = folder / FORMS[form]
        if form in also or path.exists():
            write_text(path, text())
            written.append(path)
    return written


def chosen_by(option: Namespace) -> str | None:
    """What was chosen of a profile, as options of ``pytest bench``; None of one that is not the suite's."""
    if option.matrix != matrix.DEFAULT:
        return None
    return "".join(f" --{name} {text}" for name in ("seeds", "controls") if (text := getattr(option, name)))


def files(folder: Path) -> list[Path]:
    """All that the report in ``folder`` consists of: each form that there is of it, its plots and pictures."""
    text = (folder / MARKDOWN).read_text(encoding="utf-8")
    drawn = [path for path in (folder / "explain").glob("*.png") if f"(explain/{path.name})" in text]
    forms = [folder / name for name in (MARKDOWN, *FORMS.values()) if (folder / name).exists()]
    return sorted([*forms, *folder.glob("*.svg"), *drawn])


def chosen(folder: Path, cases: tuple[Case, ...], older: bool = False) -> tuple[Chosen, list[str]]:
    """Each case with its record, in whatever precision it ran, and what is wrong with records that cannot be used.

    A record of another configuration does not count; with ``older`` one of the same does, whatever code, data and weights made
    it.
    """
    records, faults = record.read_all(folder)
    now, pairs = running.now(folder), []
    for case in cases:
        entry = records.get(case.id)
        if case.id in now and entry and entry.status != "done":
            at = now[case.id]
            entry = entry.model_copy(
                update={"status": "running", "message": f"epoch {at.epoch} of {at.epochs}, since {at.since}"}
            )
        counts = entry and (entry.is_current(case) or (older and entry.has_facts_of(case)))
        pairs.append((case, entry if counts else None))
    return pairs, faults


def against_baseline(
    folder: Path, cases: tuple[Case, ...], before: Baseline, tolerances: dict[str, Tolerance]
) -> Verdict:
    """Hold the records in ``folder`` against a baseline, as if all cases had just run: each in the precision it ran in."""
    results = {entry.as_run(case) if entry else case: entry for case, entry in chosen(folder, cases)[0]}
    return compare.against(before, tuple(results), results, tolerances)


def require_apart(folder: Path, target: Path) -> None:
    """Raise :class:`UserError` where a report in ``folder`` cannot be published as ``target``, which it would replace."""
    if target.name in ("runs", "baselines"):
        raise UserError(f"a report cannot be published as {target.name}: that folder has another use")
    source, place = folder.resolve(), target.resolve()
    if source.is_relative_to(place) or place.is_relative_to(source):
        raise UserError(
            f"the report in {folder} cannot be published as {target}, which is replaced as a whole: one is the other or "
            "lies in it; choose another folder with --results"
        )


def publish(folder: Path, target: Path, ids: Collection[str]) -> list[Path]:
    """Copy a report from ``folder`` to ``target``, of which nothing older is left; returns what was written.

    That is each form there is of it, its plots and pictures, and in one file the records of the cases called ``ids``. Raises
    :class:`UserError` where one folder lies in the other or no case has a record, ``FileNotFoundError`` where there is no
    report, and :class:`~bench.kit.files.WriteError` where it cannot be written: then ``target`` is as it was.
    """
    require_apart(folder, target)
    report = folder / MARKDOWN
    if not report.exists():
        raise FileNotFoundError(f"{report} does not exist; write it with: python -m bench report")
    records = [entry for name, entry in record.read_all(folder)[0].items() if name in ids]
    if not records:
        raise UserError(
            f"nothing to publish: none of the chosen cases has a record in {folder}; choose those that ran, with the same "
            "--profile, --seeds and --controls"
        )
    names = [path.relative_to(folder) for path in files(folder)]
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as beside:
            new = Path(beside) / target.name
            for name in names:
                (new / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(folder / name, new / name)
            record.publish(records, new)
            place = target.resolve()  # a link stays one
            shutil.rmtree(place, ignore_errors=True)
            new.rename(place)
    except OSError as error:
        raise WriteError(unwritten(target, error)) from error
    return [target / name for name in (*names, record.PUBLISHED)]
