"""SVG plots of a report: accuracy against size, learning curves, and the paper's accuracy over the batch size.

Each is drawn in a theme, so that it can stand on a light page and on a dark one.

Each plot has a panel for each teacher and dataset, and of each student its longest training; controls are left out.
A student keeps its colour and marker in all of them. The same records always give the same bytes.
"""

import textwrap
from collections.abc import Callable
from pathlib import Path
from statistics import mean

from bench.files import write_atomically
from bench.report.results import HEADLINE_TITLES, Chosen
from bench.report.series import Drawn, Series, series, spread
from bench.report.themes import Look, Theme

# Text stays text: smaller files, and a reader can search them.
SETTINGS = {"svg.hashsalt": "distill-bench", "svg.fonttype": "none", "font.size": 11, "axes.titlesize": 12}
SPREAD = "± one standard deviation over seeds"


def accuracy_against_size(chosen: Chosen, path: Path, theme: Theme) -> bool:
    """Accuracy against student size (hollow) and against all that must run (filled), joined by a line.

    Below each hollow point a bar marks the untrained student. Of each panel the longest training only. Returns
    whether anything was drawn, as the other plots do; if not, no file is left at ``path``.
    """
    drawn = {}
    for pair, several in series(chosen).items():
        longest = max(one.case.epochs for one in several)
        drawn[pair] = [one for one in several if one.case.epochs == longest and one.accuracy]
    look = Look.of(series(chosen), theme)
    extra = {
        "the student alone": {"marker": "o", "fillstyle": "none", "linestyle": "", "color": theme.ink},
        "all that must run": {"marker": "o", "linestyle": "", "color": theme.ink},
        "gain over the untrained": {"marker": "_", "linestyle": ":", "color": theme.ink, "markersize": 9},
        "the teacher itself": look.teacher,
    }
    if _several_seeds(drawn):
        extra[SPREAD] = {"marker": "|", "color": theme.ink, "markersize": 12, "linestyle": ""}
    return _write(path, drawn, look, _sizes_panel, extra, "")


def learning_curves(chosen: Chosen, path: Path, theme: Theme) -> bool:
    """Headline accuracy over epochs, from the untrained student on; shaded: one standard deviation over seeds."""
    drawn = {pair: [one for one in several if one.curve] for pair, several in series(chosen).items()}
    look = Look.of(series(chosen), theme)
    extra = {"the teacher itself": look.teacher}
    if _several_seeds(drawn):
        extra[SPREAD] = {"color": theme.ink, "alpha": 0.2, "linewidth": 8}
    return _write(path, drawn, look, _curves_panel, extra, "")


def in_batch(chosen: Chosen, path: Path, theme: Theme) -> bool:
    """The paper's accuracy, matching within a batch of B, over B: what it says depends on B, or on nothing at all.

    Of the first seed only.
    """
    first = {
        pair: [Series(one.label, one.cases[:1], one.records[:1]) for one in several]
        for pair, several in series(chosen).items()
    }
    drawn = {pair: [one for one in several if one.in_batch] for pair, several in first.items()}
    look = Look.of(series(chosen), theme)
    extra = {
        "the teacher itself": look.teacher,
        "chance, 100 / B": {"color": theme.ink, "linestyle": ":", "linewidth": 1.3},
        "B of this profile": {"color": theme.ink, "linewidth": 0.8},
    }
    title = "The paper's accuracy is set by the batch size B, or is 100 for any model: why it is not the headline"
    return _write(path, drawn, look, _in_batch_panel, extra, title)


def _sizes_panel(panel, several: list[Series], look: Look) -> None:
    for one in several:
        accuracy, deviation = spread(one.accuracy)
        alone, deployed = one.records[0].metrics["size_mb"], one.records[0].metrics["deployed_mb"]
        marker, colour = look.styles[one.label]
        if one.untrained:
            floor = mean(one.untrained)
            panel.plot([alone] * 2, [floor, accuracy], color=colour, linewidth=0.8, linestyle=":")
            panel.plot(alone, floor, "_", color=colour, markersize=9)
        bars = {"yerr": deviation} if len(one.accuracy) > 1 else {}
        panel.errorbar([alone, deployed], [accuracy] * 2, color=colour, linewidth=0.8, gid=_gid(one), **bars)
        panel.plot(alone, accuracy, marker, color=colour, markerfacecolor=look.theme.background)
        panel.plot(deployed, accuracy, marker, color=colour)
    _teacher_line(panel, several[0], look)
    panel.set_xscale("log")
    panel.xaxis.set_major_formatter("{x:g}")
    panel.set(xlabel="MB (log)", ylabel=f"{HEADLINE_TITLES[several[0].case.kind]} (%)")


def _curves_panel(panel, several: list[Series], look: Look) -> None:
    for one in several:
        epochs, means, deviations = zip(*one.curve, strict=True)
        marker, colour = look.styles[one.label]
        # About ten markers however long the training is.
        every = max(1, len(epochs) // 10)
        panel.plot(
            epochs, means, color=colour, marker=marker, markersize=5, markevery=every, linewidth=1.3, gid=_gid(one)
        )
        if any(deviations):
            low, high = ([m + sign * d for m, d in zip(means, deviations, strict=True)] for sign in (-1, 1))
            panel.fill_between(epochs, low, high, color=colour, alpha=0.2, linewidth=0)
    _teacher_line(panel, several[0], look)
    panel.set(xlabel="epoch (0: untrained)", ylabel=f"{HEADLINE_TITLES[several[0].case.kind]} (%)")
    panel.xaxis.get_major_locator().set_params(integer=True)


def _in_batch_panel(panel, several: list[Series], look: Look) -> None:
    for one in several:
        marker, colour = look.styles[one.label]
        panel.plot(*_columns(one.in_batch["student"]), color=colour, marker=marker, markersize=5, gid=_gid(one))
    own = several[0].in_batch.get("teacher", [])
    if own:
        panel.plot(*_columns(own), gid=f"{_gid(several[0])}-teacher", **look.teacher)
    sizes = sorted({size for one in several for size, _ in one.in_batch["student"]})
    panel.plot(sizes, [100 / size for size in sizes], color=look.theme.ink, linestyle=":", linewidth=1.3)
    panel.axvline(several[0].case.batch_size, color=look.theme.ink, linewidth=0.8)
    matched = [value for one in several for _, value in one.in_batch["student"]]
    if several[0].case.kind == "classification" and round(min(matched)) == 100:
        told = "every line lies at 100: an image is matched\nwith itself, whatever the model"
        panel.text(
            0.5, 0.6, told, transform=panel.transAxes, ha="center", va="center", backgroundcolor=look.theme.background
        )
    panel.set_xscale("log", base=2)
    panel.xaxis.set_major_formatter("{x:.0f}")
    panel.set(xlabel="batch size B (log)", ylabel="paper's accuracy (%)", ylim=(0, 104))


def _write(
    path: Path,
    drawn: Drawn,
    look: Look,
    draw_panel: Callable,
    extra: dict[str, dict],
    title: str,
) -> bool:
    """One figure: a panel for each pair that has series, below them a legend of the students and of ``extra`` lines."""
    drawn = {pair: several for pair, several in drawn.items() if several}
    if not drawn:
        path.unlink(missing_ok=True)  # a plot of older records
        return False
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    with matplotlib.rc_context(SETTINGS | look.theme.settings):
        columns = min(2, len(drawn))
        rows = -(-len(drawn) // columns)
        figure = Figure(figsize=(5.2 * columns, 3.4 * rows + 1.2), layout="constrained")
        panels = figure.subplots(rows, columns, squeeze=False).flatten()
        for unused in panels[len(drawn) :]:
            unused.set_visible(False)
        for panel, ((dataset, teacher), several) in zip(panels, drawn.items(), strict=False):
            draw_panel(panel, several, look)
            panel.set_title(f"{teacher} on {dataset}, {_epochs(several)}")
            panel.grid(alpha=0.3)
        labels = dict.fromkeys(one.label for several in drawn.values() for one in several)
        handles = [
            Line2D([], [], marker=look.styles[label][0], color=look.styles[label][1], label=label) for label in labels
        ]
        handles += [Line2D([], [], label=label, **line) for label, line in extra.items()]
        figure.legend(handles=handles, loc="outside lower center", ncols=4 if columns > 1 else 3, frameon=False)
        if title:
            figure.suptitle(textwrap.fill(title, 55 * columns), fontsize=12)
        write_atomically(path, lambda temporary: figure.savefig(temporary, format="svg", metadata={"Date": None}))
    return True


def _several_seeds(drawn: Drawn) -> bool:
    return any(len(one.cases) > 1 for several in drawn.values() for one in several)


def _epochs(several: list[Series]) -> str:
    """How long the longest training is, and over how many seeds."""
    epochs, seeds = max(one.case.epochs for one in several), max(len(one.cases) for one in several)
    return f"{epochs} epochs" + (f", n = {seeds}" if seeds > 1 else "")


def _teacher_line(panel, one: Series, look: Look) -> None:
    if one.teacher is not None:
        panel.axhline(one.teacher, **look.teacher)


def _columns(pairs: list) -> tuple[list, list]:
    return [size for size, _ in pairs], [value for _, value in pairs]


def _gid(one: Series) -> str:
    """A name in the SVG for what is drawn of a student."""
    return f"{one.case.dataset}-{one.case.teacher}-{one.label.replace(' ', '-')}"
