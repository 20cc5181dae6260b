"""SVG plots of a report: accuracy against size, learning curves, and the paper's accuracy over the batch size.

Each is drawn in a theme, so that it can stand on a light page and on a dark one.

Each plot has a panel for each teacher and dataset, and of each student its longest training; controls are left out.
A student keeps its colour and marker in all of them. The same records always give the same bytes.
"""

import textwrap
from collections.abc import Callable
from pathlib import Path

from bench.kit.figures import drawing
from bench.kit.files import write_atomically
from bench.report.results import HEADLINE_TITLES, Chosen, headline
from bench.report.seeds import Pairs, Row, by_pair, longest, rows
from bench.report.themes import Look, Theme

# Text stays text: smaller files, and a reader can search them.
SETTINGS = {"svg.hashsalt": "distill-bench", "svg.fonttype": "none", "font.size": 11, "axes.titlesize": 12}
SPREAD = "± one standard deviation over seeds"


def accuracy_against_size(chosen: Chosen, path: Path, theme: Theme) -> bool:
    """Accuracy against student size (hollow) and against all that must run (filled), joined by a line.

    Below each hollow point a bar marks the untrained student. Of each panel the longest training only. Returns
    whether anything was drawn, as the other plots do; if not, no file is left at ``path``.
    """
    pairs = by_pair(longest(rows(chosen)))
    drawn = {pair: [row for row in several if row.case.epochs == _epochs(several)] for pair, several in pairs.items()}
    look = Look.of(pairs, theme)
    extra = {
        "the student alone": {"marker": "o", "fillstyle": "none", "linestyle": "", "color": theme.ink},
        "all that must run": {"marker": "o", "linestyle": "", "color": theme.ink},
        "gain over the untrained": {"marker": "_", "linestyle": ":", "color": theme.ink, "markersize": 9},
        "the teacher itself": look.teacher,
    }
    if any(_seeds(several) > 1 for several in drawn.values()):
        extra[SPREAD] = {"marker": "|", "color": theme.ink, "markersize": 12, "linestyle": ""}
    return _write(path, drawn, look, _sizes_panel, extra)


def learning_curves(chosen: Chosen, path: Path, theme: Theme) -> bool:
    """Headline accuracy over epochs, from the untrained student on; shaded: one standard deviation over seeds."""
    drawn = by_pair(longest(rows(chosen)))
    look = Look.of(drawn, theme)
    extra = {"the teacher itself": look.teacher}
    if any(_seeds(several) > 1 for several in drawn.values()):
        extra[SPREAD] = {"color": theme.ink, "alpha": 0.2, "linewidth": 8}
    return _write(path, drawn, look, _curves_panel, extra)


def in_batch(chosen: Chosen, path: Path, theme: Theme) -> bool:
    """The paper's accuracy, matching within a batch of B, over B: what it says depends on B, or on nothing at all.

    Of the first seed only.
    """
    pairs = by_pair(longest(rows(chosen)))
    measured = {pair: [row for row in several if row.first.in_batch] for pair, several in pairs.items()}
    drawn = {pair: several for pair, several in measured.items() if several}
    look = Look.of(pairs, theme)
    extra = {
        "the teacher itself": look.teacher,
        "chance, 100 / B": {"color": theme.ink, "linestyle": ":", "linewidth": 1.3},
        "B of this profile": {"color": theme.ink, "linewidth": 0.8},
    }
    title = "The paper's accuracy is set by the batch size B, or is 100, trained or not: why it is not the headline"
    return _write(path, drawn, look, _in_batch_panel, extra, title)


def _sizes_panel(panel, several: list[Row], look: Look) -> None:
    for row in several:
        accuracy, untrained = row.accuracy(), row.accuracy_after(0)
        alone, deployed = row.first.metrics["size_mb"], row.first.metrics["deployed_mb"]
        marker, colour = look.styles[row.name]
        panel.plot([alone] * 2, [untrained.mean, accuracy.mean], color=colour, linewidth=0.8, linestyle=":")
        panel.plot(alone, untrained.mean, "_", color=colour, markersize=9)
        bars = {} if accuracy.deviation is None else {"yerr": accuracy.deviation}
        panel.errorbar([alone, deployed], [accuracy.mean] * 2, color=colour, linewidth=0.8, gid=_gid(row), **bars)
        panel.plot(alone, accuracy.mean, marker, color=colour, markerfacecolor=look.theme.background)
        panel.plot(deployed, accuracy.mean, marker, color=colour)
    _set(panel, several, look, "MB (log)")
    panel.set_xscale("log")
    panel.xaxis.set_major_formatter("{x:g}")


def _curves_panel(panel, several: list[Row], look: Look) -> None:
    for row in several:
        epochs = range(row.case.epochs + 1)
        curve = [row.accuracy_after(epoch) for epoch in epochs]
        means, deviations = [one.mean for one in curve], [one.deviation or 0.0 for one in curve]
        marker, colour = look.styles[row.name]
        # About ten markers however long the training is.
        every = max(1, len(epochs) // 10)
        panel.plot(
            epochs, means, color=colour, marker=marker, markersize=5, markevery=every, linewidth=1.3, gid=_gid(row)
        )
        if any(deviations):
            low, high = ([m + sign * d for m, d in zip(means, deviations, strict=True)] for sign in (-1, 1))
            panel.fill_between(epochs, low, high, color=colour, alpha=0.2, linewidth=0)
    _set(panel, several, look, "epoch (0: untrained)")
    panel.xaxis.get_major_locator().set_params(integer=True)


def _in_batch_panel(panel, several: list[Row], look: Look) -> None:
    for row in several:
        marker, colour = look.styles[row.name]
        points = zip(*row.first.in_batch["student"], strict=True)
        panel.plot(*points, color=colour, marker=marker, markersize=5, gid=_gid(row))
    if own := several[0].first.in_batch.get("teacher"):
        panel.plot(*zip(*own, strict=True), gid=f"{_gid(several[0])}-teacher", **look.teacher)
    matched = [pair for row in several for pair in row.first.in_batch["student"]]
    sizes = sorted({size for size, _ in matched})
    panel.plot(sizes, [100 / size for size in sizes], color=look.theme.ink, linestyle=":", linewidth=1.3)
    panel.axvline(several[0].case.batch_size, color=look.theme.ink, linewidth=0.8)
    if several[0].case.kind == "classification" and round(min(value for _, value in matched)) == 100:
        note = "every line lies at 100: an image is matched\nwith itself, trained or not"
        place = {"transform": panel.transAxes, "ha": "center", "va": "center"}
        panel.text(0.5, 0.6, note, backgroundcolor=look.theme.background, **place)
    panel.set_xscale("log", base=2)
    panel.xaxis.set_major_formatter("{x:.0f}")
    ylabel = "paper's accuracy (%)"
    panel.set(title=_title(several, 1), xlabel="batch size B (log)", ylabel=ylabel, ylim=(0, 104))


def _write(path: Path, drawn: Pairs, look: Look, draw_panel: Callable, extra: dict[str, dict], title: str = "") -> bool:
    """One figure: a panel for each pair, below them a legend of the students and of ``extra`` lines."""
    if not drawn:
        path.unlink(missing_ok=True)  # a plot of older records
        return False
    with drawing(SETTINGS | look.theme.settings):
        from matplotlib.figure import Figure

        columns = min(2, len(drawn))
        lines = -(-len(drawn) // columns)
        figure = Figure(figsize=(5.2 * columns, 3.4 * lines + 1.2), layout="constrained")
        panels = figure.subplots(lines, columns, squeeze=False).flatten()
        for unused in panels[len(drawn) :]:
            unused.set_visible(False)
        for panel, several in zip(panels, drawn.values(), strict=False):
            draw_panel(panel, several, look)
            panel.grid(alpha=0.3)
        handles = _handles(drawn, look, extra)
        figure.legend(handles=handles, loc="outside lower center", ncols=4 if columns > 1 else 3, frameon=False)
        if title:
            figure.suptitle(textwrap.fill(title, 55 * columns), fontsize=12)
        write_atomically(path, lambda temporary: figure.savefig(temporary, format="svg", metadata={"Date": None}))
    return True


def _handles(drawn: Pairs, look: Look, extra: dict[str, dict]) -> list:
    """What the legend shows: each student once, and the ``extra`` lines."""
    from matplotlib.lines import Line2D

    names = dict.fromkeys(row.name for several in drawn.values() for row in several)
    styles = {name: dict(zip(("marker", "color"), look.styles[name], strict=True)) for name in names}
    return [Line2D([], [], label=label, **style) for label, style in (styles | extra).items()]


def _seeds(several: list[Row]) -> int:
    return max(len(row.done) for row in several)


def _epochs(several: list[Row]) -> int:
    """How long the longest training is."""
    return max(row.case.epochs for row in several)


def _title(several: list[Row], seeds: int) -> str:
    """Whose students a panel shows, how long the longest training is, and over how many seeds."""
    case = several[0].case
    return f"{case.teacher} on {case.dataset}, {_epochs(several)} epochs" + (f", n = {seeds}" if seeds > 1 else "")


def _set(panel, several: list[Row], look: Look, xlabel: str) -> None:
    """The line of the teacher itself, title and labels of a panel that shows accuracies."""
    own = headline(several[0].case.kind, several[0].first.teacher)
    if own is not None:
        panel.axhline(own, **look.teacher)
    ylabel = f"{HEADLINE_TITLES[several[0].case.kind]} (%)"
    panel.set(title=_title(several, _seeds(several)), xlabel=xlabel, ylabel=ylabel)


def _gid(row: Row) -> str:
    """A name in the SVG for what is drawn of a student."""
    return f"{row.case.dataset}-{row.case.teacher}-{row.name.replace(' ', '-')}"
