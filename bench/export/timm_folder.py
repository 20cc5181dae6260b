"""``timm/``: the trunk of a student of timm as a folder that timm alone loads.

    model = timm.create_model("local-dir:DIR/timm", pretrained=True)

gives its pooled features; with a classifier, the logits of one that is linear on them, since timm's own heads are, and the
student's head is not. That lies beside the folder as ``head.safetensors``, the state of a plain ``nn.Sequential``. The
preprocessing of training is in ``pretrained_cfg``: ``timm.data.resolve_model_data_config`` reads it.
"""

import json
from collections.abc import Callable
from pathlib import Path

import timm
import torch
from safetensors.torch import save_file
from torch import nn

from bench.data.split import Split
from bench.export import classifier
from bench.export.classifier import Classifier
from bench.export.loaded import ClassifierConfig, Exported, ExportError
from bench.kit.files import write_atomically
from students.libraries.timm import create

FOLDER, HEAD = "timm", "head.safetensors"
KEPT = ("first_conv", "classifier", "fixed_input_size")  # of timm's own configuration
TOLERANCE = 1e-5  # of what the model gives, in units of the largest
PT = {"format": "pt"}


def write(
    model: Exported, folder: Path, splits: tuple[Split, Split] | None, say: Callable[[str], object]
) -> ClassifierConfig | None:
    """Write the folder and the head beside it; with the ``splits`` of the data also a classifier, which is described.

    It is left out, of which ``say`` gets a line, where the model's own head is no linear layer on its features. Raises
    :class:`ExportError` where timm makes another model of the files.
    """
    tower, to = model.student.image_tower, folder / FOLDER
    made = splits and classifier.fit(model, splits, tower.features)
    whole = made and _with_head(model, made)
    if made and not whole:
        say(
            f"{FOLDER}/ has no classifier: the head of {model.config.student_model.name} is no linear layer on its features"
        )
        made = None
    to.mkdir()
    _save(whole or tower.trunk, to / "model.safetensors")
    _save(tower.head, folder / HEAD)
    text = json.dumps(_described(model, made.config.classes if made else []), indent=2)
    (to / "config.json").write_text(f"{text}\n", encoding="utf-8")
    _check(whole or tower.trunk, tower.size, to)
    return made and made.config


def _with_head(model: Exported, made: Classifier) -> nn.Module | None:
    """The trunk with the classifier for its head; None where that is no linear layer on what the trunk gives."""
    trunk = model.student.image_tower.trunk
    whole = create(model.config.student_model, len(made.config.classes)).eval()
    head = whole.get_classifier()
    if not isinstance(head, nn.Linear) or head.bias is None or head.weight.shape != made.weight.shape:
        return None
    own = {name for name, value in whole.named_parameters() if value is head.weight or value is head.bias}
    missing, unexpected = whole.load_state_dict(trunk.state_dict(), strict=False)
    if unexpected or own != {*missing}:
        return None
    with torch.no_grad():
        head.weight.copy_(made.weight)
        head.bias.copy_(made.bias)
    return whole


def _save(module: nn.Module, path: Path) -> None:
    tensors = {name: tensor.clone().contiguous() for name, tensor in module.state_dict().items()}
    write_atomically(path, lambda to: save_file(tensors, to, PT))


def _described(model: Exported, names: list[str]) -> dict:
    """``config.json`` as timm reads it."""
    tower = model.student.image_tower
    facts = tower.trunk.pretrained_cfg
    preprocessing = {
        "input_size": [3, tower.size, tower.size], "interpolation": tower.interpolation, "crop_pct": 1.0,
        "crop_mode": "center" if model.config.crop else "squash", "mean": list(facts["mean"]), "std": list(facts["std"]),
        "num_classes": len(names), "custom_load": False,
    }  # fmt: skip
    kept = {name: facts[name] for name in KEPT if facts.get(name) is not None}
    described = {
        "architecture": facts["architecture"], "num_classes": len(names), "num_features": tower.head[0].in_features,
        "pretrained_cfg": preprocessing | kept,
    }  # fmt: skip
    if facts["fixed_input_size"]:
        described["model_args"] = {"img_size": tower.size}
    return described | ({"label_names": names} if names else {})


@torch.no_grad()
def _check(expected: nn.Module, size: int, folder: Path) -> None:
    loaded = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    images = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    own, theirs = expected(images), loaded(images)
    if own.shape != theirs.shape or not (own - theirs).abs().max() <= TOLERANCE * own.abs().max():
        raise ExportError(f"timm {timm.__version__} builds another model from {folder}")
