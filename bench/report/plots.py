"""SVG plots of a report: accuracy against size, gains, gain against cost, learning curves, and the paper's accuracy over
the batch size.

Each is drawn in a theme, so that it can stand on a light page and on a dark one, and can be read on a telephone. It has a
panel for each teacher and dataset (that of gains has a part), and of each student its longest training; controls are left
out. A student keeps its colour and marker in all of them. The same records always give the same bytes.
"""

import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from bench.kit.figures import drawing
from bench.kit.files import write_atomically
from bench.metrics import HEADLINE_TITLES
from bench.report.content import Pairs, Report, Row, Spread, by_pair, headline
from bench.report.gains import gain
from bench.report.recipes import Parts, parts, training_seconds
from bench.report.themes import SETTINGS, Styles, Theme

WIDTH = 6.2  # inches: its text can be read where the picture is 420 px wide
SPREAD = "± one standard deviation over seeds"
INTERVAL = "bar: 95 % interval over seeds; filled: significant"
ONE_SEED = "one seed: without intervals, nothing is significant"


def file_name(plot: str, theme: Theme) -> str:
    """The name of a plot's file in a theme: ``curves.svg`` or ``curves-dark.svg``."""
    return f"{plot}{theme.suffix}.svg"


def accuracy_against_size(report: Report, path: Path, theme: Theme) -> bool:
    """Accuracy against the size of all that must run, the teacher among them.

    What nothing smaller equals is filled and joined by a line, the Pareto front. Of each panel the longest training only.
    Returns whether anything was drawn, as the other plots do; if not, no file is left at ``path``.
    """
    pairs = by_pair(row for row in report.longest if row.metric("deployed_mb"))
    drawn = {}
    for pair, several in pairs.items():
        longest = max(row.case.epochs for row in several)
        drawn[pair] = [row for row in several if row.case.epochs == longest]
    extra = {
        "the teacher itself": {"marker": "*", "color": theme.teacher, "linestyle": "", "markersize": 12},
        "filled: best for its size": {"color": theme.ink, "linestyle": ":", "linewidth": 1.3},
    }
    if any(_seeds(several) > 1 for several in drawn.values()):
        extra[SPREAD] = {"marker": "|", "color": theme.ink, "markersize": 12, "linestyle": ""}
    return _write(path, drawn, theme, theme.styles(report.longest), _sizes_panel, extra)


def gains(report: Report, path: Path, theme: Theme) -> bool:
    """What each student gained over the same one without distillation, with the 95 % interval over its seeds; a row each."""
    over = {
        pair: [(row, spread) for row in rows if (spread := gain(row, "no-distillation", report.rows))]
        for pair, rows in by_pair(row for row in report.longest if row.case.is_distilled).items()
    }
    over = {pair: several for pair, several in over.items() if several}
    if not over:
        path.unlink(missing_ok=True)
        return False
    lines: list[tuple[str, Row | None, Spread | None]] = []
    for (dataset, teacher), several in over.items():
        lines += [(f"{teacher} on {dataset}", None, None), *((row.name, row, spread) for row, spread in several)]
    styles = theme.styles(report.longest)
    with _figure_at(path, theme, height=0.3 * len(lines) + 0.9) as figure:
        panel = figure.subplots()
        panel.axvline(0, color=theme.ink, linewidth=0.8)
        for place, (_, row, spread) in enumerate(lines):
            if row:
                marker, colour = styles[row.name]
                filled = spread.is_significant and spread.mean > 0
                look = {"marker": marker, "color": colour, "markerfacecolor": colour if filled else theme.background}
                if spread.count > 1:
                    panel.plot(spread.interval, [place] * 2, color=colour, linewidth=1.3)
                panel.plot(spread.mean, place, gid=_gid(row), markersize=8, **look)
        panel.set_yticks(range(len(lines)), [name for name, *_ in lines])
        for label, (_, row, _) in zip(panel.get_yticklabels(), lines, strict=True):
            label.set_fontweight("normal" if row else "bold")
        several = any(spread and spread.count > 1 for *_, spread in lines)
        panel.set(ylim=(len(lines) - 0.4, -0.6))
        panel.set_xlabel("points above the same student without distillation\n" + (INTERVAL if several else ONE_SEED))
        panel.grid(axis="x", alpha=0.3)
        panel.tick_params(axis="y", length=0)
    return True


def costs(report: Report, path: Path, theme: Theme) -> bool:
    """What each recipe and length reached against what it cost, without the teacher and with it; a line joins the two."""
    known = [one for one in parts(report) if one.seconds]
    drawn = by_pair(one.row for one in known)
    extra = {
        "without teacher": {"marker": "o", "color": theme.ink, "markerfacecolor": theme.background, "linestyle": ""}
    }
    panel = partial(_costs_panel, known=known)
    return _write(path, drawn, theme, theme.styles(report.longest), panel, extra)


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
    drawn: Pairs = {}
    for pair, several in by_pair(row for row in report.longest if row.first.in_batch).items():
        # Panels that say the same are one.
        drawn.setdefault(("", "") if _always_100(several) else pair, []).extend(several)
    extra = {
        "the teacher itself": theme.teacher_line,
        "chance, 100 / B": {"color": theme.ink, "linestyle": ":", "linewidth": 1.3},
        "B of this profile": {"color": theme.ink, "linewidth": 0.8},
    }
    title = "The paper's accuracy is set by the batch size B, or is 100, trained or not: why it is not the headline"
    return _write(path, drawn, theme, theme.styles(report.longest), _in_batch_panel, extra, title)


def _sizes_panel(panel, several: list[Row], theme: Theme, styles: Styles) -> None:
    points = [(row.metric("deployed_mb").mean, row.accuracy().mean) for row in several]
    own = several[0].first.teacher
    accuracy, size = headline(several[0].case.kind, own), own.get("deployed_mb")
    best = front(points + ([(size, accuracy)] if size and accuracy is not None else []))
    panel.plot(*zip(*best, strict=True), drawstyle="steps-post", color=theme.ink, linestyle=":", linewidth=1.3)
    if size and accuracy is not None:
        panel.plot(size, accuracy, "*", color=theme.teacher, markersize=13)
    for row, (megabytes, mean) in zip(several, points, strict=True):
        (marker, colour), spread = styles[row.name], row.accuracy()
        bars = {} if spread.deviation is None else {"yerr": spread.deviation}
        panel.errorbar(megabytes, mean, color=colour, linewidth=0.8, gid=_gid(row), **bars)
        filled = colour if (megabytes, mean) in best else theme.background
        panel.plot(megabytes, mean, marker, color=colour, markerfacecolor=filled, markersize=7)
    _set(panel, several, "MB that must run (log)")
    _log_scale(panel)


def _costs_panel(panel, several: list[Row], theme: Theme, styles: Styles, known: list[Parts]) -> None:
    of_pair = [one for one in known if one.row in several]
    lengths = {one.row.case.epochs for one in of_pair}
    for one in of_pair:
        marker, colour = styles[one.row.name]
        seconds, reached = (training_seconds(one.without), one.seconds), (one.without.accuracy(), one.row.accuracy())
        panel.plot(seconds, [each.mean for each in reached], color=colour, linewidth=1.3, gid=_gid(one.row))
        panel.plot(seconds[0], reached[0].mean, "o", color=theme.ink, markerfacecolor=theme.background, markersize=7)
        bars = {} if reached[1].deviation is None else {"yerr": reached[1].deviation}
        panel.errorbar(seconds[1], reached[1].mean, color=colour, marker=marker, markersize=8, linewidth=0.8, **bars)
        if len(lengths) > 1:
            place = {"xytext": (7, 3), "textcoords": "offset points", "color": colour, "fontsize": 9}
            panel.annotate(f"{one.row.case.epochs} ep", (seconds[1], reached[1].mean), **place)
    _log_scale(panel)
    _set(panel, several, "seconds of passes and training (log)")


def front(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Of (size, accuracy) those that no other, smaller or as small, equals: the Pareto front, by rising size."""
    best: list[tuple[float, float]] = []
    for point in sorted(points, key=lambda one: (one[0], -one[1])):
        if not best or point[1] > best[-1][1]:
            best.append(point)
    return best


def _curves_panel(panel, several: list[Row], theme: Theme, styles: Styles) -> None:
    for row in several:
        epochs, curve = [*row.points], row.points.values()
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
    if (own := headline(several[0].case.kind, several[0].first.teacher)) is not None:
        panel.axhline(own, **theme.teacher_line)
    _set(panel, several, "epoch (0: untrained)")
    panel.xaxis.get_major_locator().set_params(integer=True)


def _in_batch_panel(panel, several: list[Row], theme: Theme, styles: Styles) -> None:
    for row in several:
        marker, colour = styles[row.name]
        points = zip(*row.first.in_batch["student"], strict=True)
        panel.plot(*points, color=colour, marker=marker, markersize=5, gid=_gid(row))
    if own := several[0].first.in_batch.get("teacher"):
        panel.plot(*zip(*own, strict=True), gid=f"{_gid(several[0])}-teacher", **theme.teacher_line)
    sizes = sorted({size for row in several for size, _ in row.first.in_batch["student"]})
    panel.plot(sizes, [100 / size for size in sizes], color=theme.ink, linestyle=":", linewidth=1.3)
    panel.axvline(several[0].case.batch_size, color=theme.ink, linewidth=0.8)
    if _always_100(several):
        note = "every line lies at 100:\nan image is matched\nwith itself, trained or not"
        place = {"transform": panel.transAxes, "ha": "center", "va": "center", "fontsize": 9}
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
    columns = min(2, len(drawn))
    lines = -(-len(drawn) // columns)
    with _figure_at(path, theme, height=2.9 * lines + 1.3) as figure:
        from matplotlib.lines import Line2D

        panels = figure.subplots(lines, columns, squeeze=False).flatten()
        for unused in panels[len(drawn) :]:
            unused.set_visible(False)
        for panel, several in zip(panels, drawn.values(), strict=False):
            draw_panel(panel, several, theme, styles)
            panel.grid(alpha=0.3)
        names = dict.fromkeys(row.name for several in drawn.values() for row in several)
        legend = {name: dict(zip(("marker", "color"), styles[name], strict=True)) for name in names}
        handles = [Line2D([], [], label=label, **line) for label, line in (legend | extra).items()]
        beside = 2 if max(map(len, names)) > 20 else 3  # three longer names are wider than the figure
        figure.legend(handles=handles, loc="outside lower center", ncols=beside, frameon=False, fontsize=10)
        if title:
            figure.suptitle(textwrap.fill(title, 60), fontsize=11)
    return True


@contextmanager
def _figure_at(path: Path, theme: Theme, height: float) -> Iterator:
    """A figure so many inches high, which the block draws, and which is written then."""
    with drawing(SETTINGS | theme.settings):
        from matplotlib.figure import Figure

        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        yield figure
        write_atomically(path, lambda temporary: figure.savefig(temporary, format="svg", metadata={"Date": None}))


def _always_100(several: list[Row]) -> bool:
    """Whether each image is matched with itself, and every student at every size with all."""
    values = [value for row in several for _, value in row.first.in_batch["student"]]
    return several[0].case.kind == "classification" and round(min(values)) == 100


def _seeds(several: list[Row]) -> int:
    return max(len(row.done) for row in several)


def _title(several: list[Row], seeds: int) -> str:
    """Whose students a panel shows, after how many epochs, and over how many seeds."""
    teachers: dict[str, dict[str, None]] = {}
    for row in several:
        teachers.setdefault(row.case.dataset, {})[row.case.teacher] = None
    names = ", ".join(f"{' and '.join(of)} on {dataset}" for dataset, of in teachers.items())
    lengths = " and ".join(str(epochs) for epochs in sorted({row.case.epochs for row in several}))
    return f"{names}\n{lengths} epochs" + (f", n = {seeds}" if seeds > 1 else "")


def _set(panel, several: list[Row], xlabel: str) -> None:
    """Title and labels of a panel that shows accuracies."""
    ylabel = f"{HEADLINE_TITLES[several[0].case.kind]} (%)"
    panel.set(title=_title(several, _seeds(several)), xlabel=xlabel, ylabel=ylabel)


def _log_scale(panel) -> None:
    """A logarithmic abscissa with round numbers."""
    panel.set_xscale("log")
    low, high = panel.get_xlim()
    ticks = [digit * 10.0**power for power in range(-3, 6) for digit in (1, 2, 5)]
    panel.set_xticks([tick for tick in ticks if low <= tick <= high], minor=False)
    panel.set_xticks([], minor=True)
    panel.xaxis.set_major_formatter("{x:g}")


def _gid(row: Row) -> str:
    """A name in the SVG for what is drawn of a student."""
    return f"{row.case.dataset}-{row.case.teacher}-{row.name.replace(' ', '-')}"
