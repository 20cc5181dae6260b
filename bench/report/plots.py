"""SVG plots of a report: accuracy against size, learning curves, and the paper's accuracy over the batch size.

Each is drawn in a theme, so that it can stand on a light page and on a dark one. It has a panel for each teacher and
dataset, and of each student its longest training; controls are left out. A student keeps its colour and marker in all of
them. The same records always give the same bytes.

Colours stand out from their background by 3 to 1 or more, WCAG 2.2's least contrast of graphics (success criterion
1.4.11). The students' are those of Okabe and Ito, which colour-blind readers can tell apart, darkened or lightened to
that contrast; markers tell them apart as well.
"""

import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.kit.figures import drawing
from bench.kit.files import write_atomically
from bench.report.content import HEADLINE_TITLES, Pairs, Report, Row, by_pair, headline

# Text stays text: smaller files, and a reader can search them.
SETTINGS = {"svg.hashsalt": "distill-bench", "svg.fonttype": "none", "font.size": 11, "axes.titlesize": 12}
SPREAD = "± one standard deviation over seeds"
MARKERS = {"projection": "o", "bottleneck": "s", "attention": "^", "cbam": "D", "resnet": "P", "densenet": "X"}
OTHER_MARKERS = "v<>*hdp8"

Styles = dict[str, tuple[str, str]]  # marker and colour by the student's name in the legend


@dataclass(frozen=True)
class Theme:
    """Colours of one look. ``suffix`` tells its files apart; ``others`` are of students that ``students`` does not name."""

    suffix: str
    background: str
    ink: str  # text, axes, and what is drawn in black on white
    teacher: str  # the teacher's own line
    students: dict[str, str]
    others: tuple[str, ...]

    @property
    def settings(self) -> dict[str, str]:
        """Matplotlib's settings."""
        of_ink = ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color")
        of_background = ("figure.facecolor", "axes.facecolor", "savefig.facecolor", "savefig.edgecolor")
        return dict.fromkeys(of_ink, self.ink) | dict.fromkeys(of_background, self.background)

    @property
    def teacher_line(self) -> dict:
        """The line of the teacher itself."""
        return {"color": self.teacher, "linestyle": "--", "linewidth": 1.3}

    def styles(self, rows: list[Row]) -> Styles:
        """Each student's marker and colour: fixed for the paper's students, and by alphabet for others."""
        styles = {name: (marker, self.students[name]) for name, marker in MARKERS.items()}
        for index, name in enumerate(sorted({row.name for row in rows} - set(MARKERS))):
            styles[name] = OTHER_MARKERS[index % len(OTHER_MARKERS)], self.others[index % len(self.others)]
        return styles


# Backgrounds and inks are those of GitHub's pages.
LIGHT = Theme(
    suffix="", background="#ffffff", ink="#1f2328", teacher="#6e7781",
    students=dict(zip(MARKERS, ("#0061a0", "#b06f00", "#00835f", "#b8548f", "#c44d00", "#2f93c9"), strict=True)),
    others=("#1f2328", "#8c564b", "#767700", "#7b4fa3", "#0e8594", "#6b6b6b"),
)  # fmt: skip
DARK = Theme(
    suffix="-dark", background="#0d1117", ink="#e6edf3", teacher="#8b949e",
    students=dict(zip(MARKERS, ("#4a90e2", "#e69f00", "#1fbf92", "#e08fc0", "#ff7a33", "#9bd8ff"), strict=True)),
    others=("#e6edf3", "#c99c8f", "#c9c94a", "#b99ada", "#4fd0de", "#a8a8a8"),
)  # fmt: skip
THEMES = (LIGHT, DARK)


def file_name(plot: str, theme: Theme) -> str:
    """The name of a plot's file in a theme: ``curves.svg`` or ``curves-dark.svg``."""
    return f"{plot}{theme.suffix}.svg"


def accuracy_against_size(report: Report, path: Path, theme: Theme) -> bool:
    """Accuracy against student size (hollow) and against all that must run (filled), joined by a line.

    Below each hollow point a bar marks the untrained student. Of each panel the longest training only. Returns
    whether anything was drawn, as the other plots do; if not, no file is left at ``path``.
    """
    pairs = by_pair(report.longest)
    drawn = {pair: [row for row in several if row.case.epochs == _epochs(several)] for pair, several in pairs.items()}
    extra = {
        "the student alone": {"marker": "o", "fillstyle": "none", "linestyle": "", "color": theme.ink},
        "all that must run": {"marker": "o", "linestyle": "", "color": theme.ink},
        "gain over the untrained": {"marker": "_", "linestyle": ":", "color": theme.ink, "markersize": 9},
        "the teacher itself": theme.teacher_line,
    }
    if any(_seeds(several) > 1 for several in drawn.values()):
        extra[SPREAD] = {"marker": "|", "color": theme.ink, "markersize": 12, "linestyle": ""}
    return _write(path, drawn, theme, theme.styles(report.longest), _sizes_panel, extra)


def learning_curves(report: Report, path: Path, theme: Theme) -> bool:
    """Headline accuracy over epochs, from the untrained student on; shaded: one standard deviation over seeds."""
    drawn = by_pair(report.longest)
    extra = {"the teacher itself": theme.teacher_line}
    if any(_seeds(several) > 1 for several in drawn.values()):
        extra[SPREAD] = {"color": theme.ink, "alpha": 0.2, "linewidth": 8}
    return _write(path, drawn, theme, theme.styles(report.longest), _curves_panel, extra)


def in_batch(report: Report, path: Path, theme: Theme) -> bool:
    """The paper's accuracy, matching within a batch of B, over B: what it says depends on B, or on nothing at all.

    Of the first seed only.
    """
    drawn = by_pair(row for row in report.longest if row.first.in_batch)
    extra = {
        "the teacher itself": theme.teacher_line,
        "chance, 100 / B": {"color": theme.ink, "linestyle": ":", "linewidth": 1.3},
        "B of this profile": {"color": theme.ink, "linewidth": 0.8},
    }
    title = "The paper's accuracy is set by the batch size B, or is 100, trained or not: why it is not the headline"
    return _write(path, drawn, theme, theme.styles(report.longest), _in_batch_panel, extra, title)


def _sizes_panel(panel, several: list[Row], theme: Theme, styles: Styles) -> None:
    for row in several:
        accuracy, untrained = row.accuracy(), row.accuracy_after(0)
        alone, deployed = row.first.metrics["size_mb"], row.first.metrics["deployed_mb"]
        marker, colour = styles[row.name]
        panel.plot([alone] * 2, [untrained.mean, accuracy.mean], color=colour, linewidth=0.8, linestyle=":")
        panel.plot(alone, untrained.mean, "_", color=colour, markersize=9)
        bars = {} if accuracy.deviation is None else {"yerr": accuracy.deviation}
        panel.errorbar([alone, deployed], [accuracy.mean] * 2, color=colour, linewidth=0.8, gid=_gid(row), **bars)
        panel.plot(alone, accuracy.mean, marker, color=colour, markerfacecolor=theme.background)
        panel.plot(deployed, accuracy.mean, marker, color=colour)
    _set(panel, several, theme, "MB (log)")
    panel.set_xscale("log")
    panel.xaxis.set_major_formatter("{x:g}")


def _curves_panel(panel, several: list[Row], theme: Theme, styles: Styles) -> None:
    for row in several:
        epochs = range(row.case.epochs + 1)
        curve = [row.accuracy_after(epoch) for epoch in epochs]
        means, deviations = [one.mean for one in curve], [one.deviation or 0.0 for one in curve]
        marker, colour = styles[row.name]
        # About ten markers however long the training is.
        every = max(1, len(epochs) // 10)
        panel.plot(
            epochs, means, color=colour, marker=marker, markersize=5, markevery=every, linewidth=1.3, gid=_gid(row)
        )
        if any(deviations):
            low, high = ([m + sign * d for m, d in zip(means, deviations, strict=True)] for sign in (-1, 1))
            panel.fill_between(epochs, low, high, color=colour, alpha=0.2, linewidth=0)
    _set(panel, several, theme, "epoch (0: untrained)")
    panel.xaxis.get_major_locator().set_params(integer=True)


def _in_batch_panel(panel, several: list[Row], theme: Theme, styles: Styles) -> None:
    for row in several:
        marker, colour = styles[row.name]
        points = zip(*row.first.in_batch["student"], strict=True)
        panel.plot(*points, color=colour, marker=marker, markersize=5, gid=_gid(row))
    if own := several[0].first.in_batch.get("teacher"):
        panel.plot(*zip(*own, strict=True), gid=f"{_gid(several[0])}-teacher", **theme.teacher_line)
    matched = [pair for row in several for pair in row.first.in_batch["student"]]
    sizes = sorted({size for size, _ in matched})
    panel.plot(sizes, [100 / size for size in sizes], color=theme.ink, linestyle=":", linewidth=1.3)
    panel.axvline(several[0].case.batch_size, color=theme.ink, linewidth=0.8)
    if several[0].case.kind == "classification" and round(min(value for _, value in matched)) == 100:
        note = "every line lies at 100: an image is matched\nwith itself, trained or not"
        place = {"transform": panel.transAxes, "ha": "center", "va": "center"}
        panel.text(0.5, 0.6, note, backgroundcolor=theme.background, **place)
    panel.set_xscale("log", base=2)
    panel.xaxis.set_major_formatter("{x:.0f}")
    ylabel = "paper's accuracy (%)"
    panel.set(title=_title(several, 1), xlabel="batch size B (log)", ylabel=ylabel, ylim=(0, 104))


def _write(
    path: Path,
    drawn: Pairs,
    theme: Theme,
    styles: Styles,
    draw_panel: Callable,
    extra: dict[str, dict],
    title: str = "",
) -> bool:
    """One figure: a panel for each pair, below them a legend of the students, each once, and of ``extra`` lines."""
    if not drawn:
        path.unlink(missing_ok=True)  # a plot of older records
        return False
    with drawing(SETTINGS | theme.settings):
        from matplotlib.figure import Figure
        from matplotlib.lines import Line2D

        columns = min(2, len(drawn))
        lines = -(-len(drawn) // columns)
        figure = Figure(figsize=(5.2 * columns, 3.4 * lines + 1.2), layout="constrained")
        panels = figure.subplots(lines, columns, squeeze=False).flatten()
        for unused in panels[len(drawn) :]:
            unused.set_visible(False)
        for panel, several in zip(panels, drawn.values(), strict=False):
            draw_panel(panel, several, theme, styles)
            panel.grid(alpha=0.3)
        names = dict.fromkeys(row.name for several in drawn.values() for row in several)
        legend = {name: dict(zip(("marker", "color"), styles[name], strict=True)) for name in names}
        handles = [Line2D([], [], label=label, **line) for label, line in (legend | extra).items()]
        figure.legend(handles=handles, loc="outside lower center", ncols=4 if columns > 1 else 3, frameon=False)
        if title:
            figure.suptitle(textwrap.fill(title, 55 * columns), fontsize=12)
        write_atomically(path, lambda temporary: figure.savefig(temporary, format="svg", metadata={"Date": None}))
    return True


def _seeds(several: list[Row]) -> int:
    return max(len(row.done) for row in several)


def _epochs(several: list[Row]) -> int:
    """How long the longest training is."""
    return max(row.case.epochs for row in several)


def _title(several: list[Row], seeds: int) -> str:
    """Whose students a panel shows, how long the longest training is, and over how many seeds."""
    case = several[0].case
    return f"{case.teacher} on {case.dataset}, {_epochs(several)} epochs" + (f", n = {seeds}" if seeds > 1 else "")


def _set(panel, several: list[Row], theme: Theme, xlabel: str) -> None:
    """The line of the teacher itself, title and labels of a panel that shows accuracies."""
    own = headline(several[0].case.kind, several[0].first.teacher)
    if own is not None:
        panel.axhline(own, **theme.teacher_line)
    ylabel = f"{HEADLINE_TITLES[several[0].case.kind]} (%)"
    panel.set(title=_title(several, _seeds(several)), xlabel=xlabel, ylabel=ylabel)


def _gid(row: Row) -> str:
    """A name in the SVG for what is drawn of a student."""
    return f"{row.case.dataset}-{row.case.teacher}-{row.name.replace(' ', '-')}"
