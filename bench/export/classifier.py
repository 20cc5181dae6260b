"""A linear classifier on an exported student: the probe's protocol, fitted on the training images as the export embeds them.

``classifier.safetensors`` has its ``weight [C, E]`` and ``bias [C]``, ``config.json`` the names of its classes.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from bench import data
from bench.data import twins
from bench.data.split import Split
from bench.export.loaded import ClassifierConfig, Exported
from bench.features.device import images_at_once
from bench.kit.errors import UserError
from bench.kit.files import write_atomically
from bench.measure.probe import fitted
from bench.plan.case import Case

FILE = "classifier.safetensors"
CHUNK = 256  # images that are embedded at once, at most
THREADS = 8  # that decode pictures for a head's teacher


@dataclass(frozen=True)
class Classifier:
    """Weight ``[C, D]`` and bias ``[C]``, and what the configuration says of them."""

    weight: Tensor
    bias: Tensor
    config: ClassifierConfig

    def __call__(self, embeddings: Tensor) -> Tensor:
        """Logits ``[B, C]``."""
        return F.linear(embeddings, self.weight, self.bias)


class Classified(nn.Module):
    """Pixels to embeddings ``[B, E]`` and logits ``[B, C]``."""

    def __init__(self, deployed: nn.Module, classifier: Classifier):
        super().__init__()
        self.deployed, self.linear = deployed, nn.Linear(*classifier.weight.T.shape)
        self.linear.load_state_dict({"weight": classifier.weight, "bias": classifier.bias})

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        embeddings = self.deployed(pixels)
        return embeddings, self.linear(embeddings)


def require_labels(case: Case) -> None:
    """Raise :class:`UserError` where the case's data have none."""
    if case.kind != "classification":
        raise UserError(f"--classifier: {case.dataset} has no labels, so there are no classes to tell apart")


def splits_of(case: Case) -> tuple[Split, Split]:
    """What the case was trained and is tested on. Raises :class:`UserError` where it has no labels."""
    require_labels(case)
    train = data.load(case.dataset, "train", case.train_samples, images=case.images)
    test = data.load(case.dataset, "test", case.test_samples, images=case.images)
    return twins.left_out(train, test) if case.dedupe else train, test


@torch.no_grad()
def fit(
    model: Exported, splits: tuple[Split, Split], embed: Callable[[Tensor], Tensor], regularisation: float | None = None
) -> Classifier:
    """A classifier on ``embed``, which takes pixels as ``model`` reads them.

    With the ``regularisation`` of the record's probe it is that probe: among few images, a rounding chooses another.
    """
    train, test = splits
    # A GPU where there is one: the model passes over all training images.
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model.to(device)
    made = fitted(torch.cat([*_embeddings(model, train, embed, device)]), train.labels, regularisation=regularisation)
    weight, bias = made.linear
    best = torch.cat([F.linear(part, weight, bias).argmax(dim=1) for part in _embeddings(model, test, embed, device)])
    model.cpu()
    weight, bias, predicted = weight.cpu(), bias.cpu(), made.classes[best].cpu()
    top1 = 100 * (predicted == test.labels).double().mean().item()
    names = [train.classes[label] for label in made.classes.tolist()]
    return Classifier(weight, bias, ClassifierConfig(classes=names, top1=top1, regularisation=made.regularisation))


def _embeddings(
    model: Exported, split: Split, embed: Callable[[Tensor], Tensor], device: torch.device
) -> Iterator[Tensor]:
    """Of all images, in chunks; a head's teacher sees them as in its pass."""
    alone = model.config.reads == "pixels"
    side = model.student.input_side(split.side) if alone else model.teacher().size
    chunk = images_at_once(device, side, CHUNK)
    with ThreadPoolExecutor(THREADS) as threads:
        for start in range(0, len(split), chunk):
            rows = [*range(start, min(start + chunk, len(split)))]
            pixels = split.pixels[rows] if alone else split.view(rows, model.teacher().transform, threads)
            yield embed(pixels.to(device))


def write(classifier: Classifier, folder: Path) -> None:
    tensors = {"weight": classifier.weight, "bias": classifier.bias}
    write_atomically(folder / FILE, lambda to: save_file(tensors, to, {"format": "pt"}))
