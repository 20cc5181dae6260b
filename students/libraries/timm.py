"""Any model of timm as a student that replaces the teacher: pixels through its trunk, then a bottleneck.

Pixels are resized to the model's input side, antialiased, and normalised with the mean and deviation of its own pretrained
configuration. The trunk's width is measured: ``num_features`` of mobilenetv4_conv_small says 960, and it
gives 1,280.
"""

from dataclasses import replace
from functools import cache
from typing import Any

import timm
import torch
import torch.nn.functional as F
from timm.layers import PatchEmbed
from timm.models import PretrainedCfg
from torch import Tensor, nn

from bench.declared import LibraryStudent
from bench.kit.errors import UserError, unknown_name
from bench.kit.hub import fetched
from students import Dims, bottleneck_head

FILES = ("model.safetensors", "pytorch_model.bin")


class LibraryTower(nn.Module):
    """A trunk of timm on raw pixels in [0, 255] of any side, then a bottleneck: ``[B, 3, H, W] -> [B, E]``.

    ``trunk`` reads squares of ``size`` pixels and returns ``[B, width]``.
    """

    def __init__(self, trunk: nn.Module, width: int, size: int, dims: Dims):
        super().__init__()
        self.trunk, self.size = trunk, size
        self.head = bottleneck_head(width, dims)
        facts = trunk.pretrained_cfg
        self.interpolation = facts["interpolation"] if facts["interpolation"] in ("bilinear", "bicubic") else "bicubic"
        for name in ("mean", "std"):  # constants, neither parameters nor state
            values = 255 * torch.tensor(facts[name], device="cpu")
            self.register_buffer(name, values.to(self.head[0].weight.device).view(1, 3, 1, 1), persistent=False)

    def forward(self, pixels: Tensor) -> Tensor:
        return self.head(self.features(pixels))

    def features(self, pixels: Tensor) -> Tensor:
        """What the trunk gives: ``[B, 3, H, W] -> [B, width]``."""
        images = (self._resized(pixels.float()) - self.mean) / self.std
        return self.trunk(images.contiguous(memory_format=torch.channels_last))

    def _resized(self, images: Tensor) -> Tensor:
        """Squashed into the square as Pillow does it, one side after the other in whole grey levels."""
        height, width = map(int, images.shape[-2:])  # as plain numbers: under fvcore's tracing they are tensors
        if (height, width) == (self.size, self.size):
            return images
        for shape in ((height, self.size), (self.size, self.size)):
            images = F.interpolate(images, shape, mode=self.interpolation, antialias=True).round_().clamp_(0, 255)
        return images


def image_tower(dims: Dims, model: LibraryStudent) -> nn.Module:
    """``model.size`` must be stated."""
    trunk = create(model)
    return LibraryTower(trunk, output_width(trunk, model.size), model.size, dims)


def text_tower(dims: Dims) -> nn.Module:
    return bottleneck_head(dims.features, dims)


def create(model: LibraryStudent, classes: int = 0) -> nn.Module:
    """The model without its classifier, or with one of ``classes``, built for ``model.size`` where its weights depend on that.

    Raises :class:`UserError` where its pretrained weights cannot be had, or do not fill it.
    """
    facts = timm.get_pretrained_cfg(model.name)
    options: dict[str, Any] = {"img_size": model.size} if facts.fixed_input_size else {}
    trunk = timm.create_model(model.name, num_classes=classes, **options)
    if model.pretrained:
        overlay = _weights(model.name, facts)
        try:
            # With its classifier: without one timm leaves at random what the file lacks, and says nothing.
            whole = timm.create_model(model.name, pretrained=True, pretrained_cfg_overlay=overlay, **options)
        except (RuntimeError, KeyError) as error:
            raise UserError(f"student {model.name}: {overlay.get('file')} does not fill it: {error}") from error
        weights = whole.state_dict()
        trunk.load_state_dict({name: weights[name] for name in trunk.state_dict()})
    return trunk


def _weights(name: str, facts: PretrainedCfg) -> dict[str, Any]:
    """Where the weights lie, in the words of timm's configuration; nothing of those that are not on the hub."""
    if not facts.hf_hub_id:
        return {}
    try:
        file = fetched(facts.hf_hub_id, FILES)
    except UserError as error:
        raise UserError(f"student {name}: {error}, or train it from random weights (pretrained: false)") from error
    # Of another format is only what lies elsewhere.
    return {"file": str(file), "custom_load": False}


def output_width(trunk: nn.Module, size: int) -> int:
    """The width of what ``trunk`` gives for one image, measured; it is left in train mode.

    Raises ``ValueError`` where that is no vector.
    """
    device = next(trunk.parameters()).device
    with torch.no_grad():
        output = trunk.eval()(torch.zeros(1, 3, size, size, device=device))
    trunk.train()
    if not isinstance(output, Tensor) or output.ndim != 2:
        raise ValueError("it does not give one vector for an image")
    return output.shape[1]


@cache
def unfit(model: LibraryStudent) -> tuple[str, str] | None:
    """The key of a student's entry at fault, and why it cannot be trained so; None where it can.

    The architecture runs forward and backward in train mode on two images, on the meta device: shapes without numbers.
    """
    architecture, _, tag = model.name.partition(".")
    known = timm.list_models(pretrained=True) if tag else timm.list_models()
    if not timm.is_model(architecture) or (tag and model.name not in known):
        return "timm", unknown_name(model.name, known)
    if model.pretrained and not timm.get_pretrained_cfg(model.name).has_weights:
        return "pretrained", f"timm has no weights of '{model.name}'"
    try:
        with torch.device("meta"):
            tower = image_tower(Dims(1, embedding=1, bottleneck=1), replace(model, pretrained=False))
            tower(torch.zeros(2, 3, model.size, model.size)).sum().backward()
    except Exception as error:  # whatever a model of 1,300 raises where its last map has no pixel left
        reason = (str(error) or type(error).__name__).splitlines()[0]
        own = timm.get_pretrained_cfg(model.name).input_size[-1]
        return "size", f"{model.name} cannot be trained at {model.size} px ({reason}); it was made for {own} px"
    patches = getattr(tower.trunk, "patch_embed", None)
    if isinstance(patches, PatchEmbed) and not patches.dynamic_img_pad:
        side = max(patches.patch_size)
        if rest := model.size % side:
            return (
                "size",
                f"{model.name} cuts {side} px patches and would not see the last {rest} of {model.size} px; choose a multiple of {side}",
            )
    return None
