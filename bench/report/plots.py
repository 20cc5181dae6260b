"""SVG plots of a report."""

from pathlib import Path

from bench.files import write_atomically
from bench.report.scores import HEADLINE, Chosen, headline

MARKERS = {"projection": "o", "bottleneck": "s", "attention": "^", "cbam": "D", "resnet": "P", "densenet": "X"}


def accuracy_against_size(chosen: Chosen, path: Path) -> None:
    """For each teacher a panel: accuracy against student size (hollow) and against all that must run (filled).

    The line joins the two sizes of one student; the dashed line is the teacher itself. Longest training only.
    """
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    pairs = list(dict.fromkeys((case.dataset, case.teacher) for case, _ in chosen))
    with pyplot.rc_context({"svg.hashsalt": "distill-bench", "font.size": 9}):
        columns = min(2, len(pairs))
        rows = -(-len(pairs) // columns)
        size = (5.0 * columns, 3.2 * rows + 0.8)
        figure, grid = pyplot.subplots(rows, columns, figsize=size, squeeze=False, layout="constrained")
        panels = grid.flatten()
        for unused in panels[len(pairs) :]:
            unused.set_visible(False)
        for panel, pair in zip(panels, pairs, strict=False):
            _panel(panel, pair, [item for item in chosen if (item[0].dataset, item[0].teacher) == pair])
        handles = {
            label: handle for panel in panels for handle, label in zip(*panel.get_legend_handles_labels(), strict=True)
        }
        figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=4, frameon=False)
        write_atomically(path, lambda temporary: figure.savefig(temporary, format="svg", metadata={"Date": None}))
        pyplot.close(figure)


def _panel(panel, pair: tuple[str, str], mine: Chosen) -> None:
    kind = mine[0][0].kind
    longest = max(case.epochs for case, _ in mine)
    done = [(case, found) for case, found in mine if found and found.status == "done" and case.epochs == longest]
    for index, (case, found) in enumerate(done):
        accuracy = headline(kind, found.metrics)
        sizes = [found.metrics["size_mb"], found.metrics["deployed_mb"]]
        colour, marker = f"C{index % 10}", MARKERS.get(case.student, "*")
        panel.plot(sizes, [accuracy] * 2, color=colour, linewidth=0.8, alpha=0.6)
        panel.plot(sizes[0], accuracy, marker, color=colour, fillstyle="none", label=f"{case.student}: student")
        panel.plot(sizes[1], accuracy, marker, color=colour, label=f"{case.student}: deployed")
    if done and (own := headline(kind, done[0][1].teacher)) is not None:
        panel.axhline(own, color="grey", linestyle="--", linewidth=1, label="the teacher itself")
    panel.set(title=f"{pair[1]} on {pair[0]}, {longest} epochs", xlabel="MB (log)", ylabel=f"{HEADLINE[kind]} (%)")
    if done:
        panel.set_xscale("log")
    panel.grid(alpha=0.3)
