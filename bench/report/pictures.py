"""The sections that show a plot, or the pictures that explain cases."""

from pathlib import Path

from bench.kit.markdown import folded
from bench.report import themes
from bench.report.content import Report


def accuracy(report: Report) -> str:
    """Accuracy against size, under the summary."""
    return _plot("accuracy", "Accuracy against the size of all that must run", report)


def curves(report: Report) -> str:
    """Accuracy over the epochs."""
    plot = _plot("curves", "Accuracy over the epochs", report)
    return plot and (
        f"## Learning curves\n\n{plot}\n\nHeld-out accuracy after each epoch, epoch 0 being the untrained student; "
        "evaluation is outside the clock."
    )


def in_batch(report: Report) -> str:
    """The paper's accuracy over the batch size."""
    plot = _plot("in-batch", "The paper's accuracy over the batch size", report)
    return plot and (
        f"## Why the paper's accuracy is not the headline\n\n{plot}\n\nThe same models, the same embeddings: the number "
        "follows the batch size. With labels only, each image is compared with itself, and every model that gives "
        "different images different embeddings scores 100 at any size. With captions, small batches make every model "
        "look good and hide the differences between them."
    )


def explained(report: Report) -> str:
    """The pictures of cases."""
    files = [name for name in report.pictures if name.endswith(".png")]
    images = [f"### {Path(name).stem}\n\n![What it looks at, and what it finds alike]({name})" for name in files]
    return (
        files and "## What teacher and student look at\n\n" + folded(f"{len(files)} cases", "\n\n".join(images))
    ) or ""


def _plot(name: str, title: str, report: Report) -> str:
    """A plot in the look of the reader's page."""
    if name not in report.pictures:
        return ""
    light, dark = (themes.file_name(name, theme) for theme in (themes.LIGHT, themes.DARK))
    return (
        f'<picture>\n  <source media="(prefers-color-scheme: dark)" srcset="{dark}">\n'
        f'  <img alt="{title}" src="{light}">\n</picture>'
    )
