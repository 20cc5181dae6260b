"""Zero-shot classification by prompts, for models with a text tower (Radford et al., 2103.00020, section 3.1.4)."""

from torch import Tensor
from torch.nn import functional

from bench.measure import tiles


def zero_shot(images: Tensor, labels: Tensor, prompts: Tensor, prompt_classes: Tensor) -> tiles.Classified:
    """Classifies ``images [N, D]`` by the nearest class, the normalised mean of its normalised prompts.

    ``prompts [P, D]`` belong to ``prompt_classes [P]``. Images with label -1 are left out, in ``predictions`` too; a
    label for which there is no prompt is never hit. Ties count against the model.
    """
    labels = labels.to(images.device)
    labelled = labels >= 0
    images, labels = images[labelled], labels[labelled]
    classes, column = prompt_classes.to(images.device).unique(return_inverse=True)
    prompts = functional.normalize(prompts.to(images.device).double(), dim=1)
    # Normalising the sum is normalising the mean.
    means = functional.normalize(prompts.new_zeros(len(classes), prompts.shape[1]).index_add_(0, column, prompts))
    truth = tiles.columns_of(labels, classes)
    parts = []
    for rows in tiles.spans(len(images), tiles.QUERIES):
        scores = images[rows].double() @ means.T
        parts.append(tiles.class_ranks(tiles.handicap_truth(scores, truth[rows]), truth[rows]))
    return tiles.classified(parts, classes)
