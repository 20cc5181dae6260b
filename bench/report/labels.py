"""What a report's teachers are, in words that stand above every figure."""

from bench import prepared
from bench.report.results import Chosen

WEIGHTS = {
    "pocket": "**Pocket teachers**: small models that were trained on generated images and ship with the suite. Their "
    "figures show that the machinery works and how students compare here; they say nothing about the full-size models.",
    "pocket on real images": "**Pocket teachers**: small models that were trained on the training images of the same "
    "real set and ship with the suite. They are no match for the full-size models, about which their figures say nothing.",
    "random": "**Random teachers**: full-size architectures with random weights, a control for timing and sizes. "
    "Accuracies say nothing about the pretrained models.",
    "pretrained": "Pretrained teachers of full size. beit was fine-tuned on labels after its masked pre-training.",
}


def label(chosen: Chosen) -> str:
    """The label of a profile's teachers, which all have weights of one kind; Markdown."""
    first = chosen[0][0]
    real = " on real images" if first.weights == "pocket" and prepared.is_prepared_kind(first.dataset) else ""
    return WEIGHTS[first.weights + real]
