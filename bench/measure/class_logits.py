"""Class logits of a teacher that has no classifier of these classes: a linear map of its embeddings, of whatever view.

Of a teacher that reads text they are those of zero-shot classification by the classes' names, of any other one those of its
linear probe, which has seen nothing but the training images.
"""

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from bench.kit.errors import UserError
from bench.measure.classification import class_means
from bench.measure.model import Model


@dataclass(frozen=True, eq=False)
class ClassLogits:
    """Weight ``[C, F]`` and bias ``[C]``, and in words where they come from."""

    source: str
    weight: Tensor
    bias: Tensor

    def __call__(self, embeddings: Tensor) -> Tensor:
        """Logits ``[B, C]`` of unit-length embeddings ``[B, F]``."""
        return F.linear(embeddings, self.weight, self.bias)


def class_logits(teacher: Model) -> ClassLogits:
    """Those of a teacher as it is scored on labelled data. Raises :class:`UserError` where they cannot be fitted."""
    split = teacher.features.train.split
    if teacher.prompts is not None:
        _, means = class_means(teacher.prompts, teacher.features.test.split.concepts.prompt_classes)
        weight = (teacher.scale * means).float()
        return ClassLogits("zero-shot by the classes' names", weight, weight.new_zeros(len(weight)))
    if missing := set(range(len(split.classes))) - set(split.labels.tolist()):
        raise UserError(
            f"no training image has the class {split.classes[min(missing)]}, whose logit the loss compares: choose more "
            "training samples, or another loss"
        )
    if teacher.probe.fit is None:
        raise UserError("the teacher's embeddings are not finite, so there are no class logits: choose another loss")
    return ClassLogits("a linear probe on its training features", *teacher.probe.fit.linear)
