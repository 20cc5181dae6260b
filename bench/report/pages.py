"""The Markdown report, section by section: the summary first, then tables and plots, long details folded.

GitHub shows it as it is meant to be seen; ``web_page`` makes a page of its own of it.
"""

from pathlib import Path

from bench.kit.markdown import folded, literal, table
from bench.report import longer, origins, passes, protocol, summary, teachers, themes
from bench.report.labels import label
from bench.report.paper import claims, tables
from bench.report.results import Chosen, is_done, status
from bench.report.seeds import by_pair, rows
from bench.results.verdict import Verdict

PLOT_TITLES = {
    "accuracy": "Accuracy against the size of all that must run",
    "curves": "Accuracy over the epochs",
    "in-batch": "The paper's accuracy over the batch size",
}


def page(profile: str, chosen: Chosen, faults: list[str], verdict: Verdict | None, pictures: list[str]) -> str:
    """The whole report. ``pictures`` names the plots that were drawn and the files of cases' pictures."""
    students = [(case, found) for case, found in chosen if case.control is None]
    found = rows(chosen)
    pairs = by_pair(found)
    sections = [
        f"# distill-bench: profile `{profile}`",
        _what_ran(chosen),
        summary.section(pairs, students),
        _baseline(verdict),
        _plot("accuracy", pictures),
        *(teachers.section(*pair, mine) for pair, mine in pairs.items()),
        _folded("Seconds, images per second and MACs per second", passes.section(students)),
        _curves(pictures),
        longer.section(found),
        _in_batch(pictures),
        _folded("Each claim with its verdicts", claims.section(students)),
        _folded("Printed and measured", tables.printed_and_measured(students)),
        _folded("Sizes and MACs of full-size students", tables.full_size()),
        origins.section(students),
        _explained(pictures),
        _trouble(chosen, faults),
        _folded("How everything was measured", protocol.section(chosen)),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _folded(title: str, section: str) -> str:
    """A section under its open heading, to be opened by a reader; nothing where it is empty."""
    heading, _, text = section.partition("\n\n")
    return section and f"{heading}\n\n{folded(title, text)}"


def _plot(name: str, pictures: list[str]) -> str:
    """A plot in the look of the reader's page."""
    if name not in pictures:
        return ""
    light, dark = (themes.file_name(name, theme) for theme in (themes.LIGHT, themes.DARK))
    return (
        f'<picture>\n  <source media="(prefers-color-scheme: dark)" srcset="{dark}">\n'
        f'  <img alt="{PLOT_TITLES[name]}" src="{light}">\n</picture>'
    )


def _curves(pictures: list[str]) -> str:
    plot = _plot("curves", pictures)
    return plot and (
        f"## Learning curves\n\n{plot}\n\nHeld-out accuracy after each epoch, epoch 0 being the untrained student; "
        "evaluation is outside the clock."
    )


def _in_batch(pictures: list[str]) -> str:
    plot = _plot("in-batch", pictures)
    return plot and (
        f"## Why the paper's accuracy is not the headline\n\n{plot}\n\nThe same models, the same embeddings: the number "
        "follows the batch size. With labels only, each image is compared with itself, and every model that gives "
        "different images different embeddings scores 100 at any size. With captions, small batches make every model "
        "look good and hide the differences between them."
    )


def _explained(pictures: list[str]) -> str:
    found = [name for name in pictures if name.endswith(".png")]
    shown = "\n\n".join(
        f"### {Path(name).stem}\n\n![What it looks at, and what it finds alike]({name})" for name in found
    )
    return "## What teacher and student look at\n\n" + folded(f"{len(found)} cases", shown) if found else ""


def _what_ran(chosen: Chosen) -> str:
    return f"{sum(is_done(found) for _, found in chosen)} of {len(chosen)} cases are done. {label(chosen)}"


def _baseline(verdict: Verdict | None) -> str:
    return "" if verdict is None else f"## Baseline\n\n{verdict.markdown()}"


def _trouble(chosen: Chosen, faults: list[str]) -> str:
    """Cases that ended badly with their messages, and how many have not run at all."""
    bad = [[case.id, status(found), literal(found.message)] for case, found in chosen if found and not is_done(found)]
    absent = sum(found is None for _, found in chosen)
    parts = [table(["case", "status", "message"], bad, text=range(3))] if bad else []
    parts += [f"{absent} cases have not run under the present configuration."] if absent else []
    parts += [f"* {literal(fault)}" for fault in faults]
    return "## Failed and missing cases\n\n" + "\n\n".join(parts) if parts else ""
