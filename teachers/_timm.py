"""Full-size weights of the teachers that timm builds, dino and beit."""

from torch import Tensor, nn

from teachers import Weights
from teachers._hub import Source, check_facts, fill, find, provenance, read_config, read_tensors

FILES = ("model.safetensors", "pytorch_model.bin")
POSITIONS = r"blocks\.\d+\.attn\.relative_position_index"  # timm once saved them; now it computes them
HEAD = r"head\.(weight|bias)"


def load_full(model: nn.Module, teacher: str, name: str, weights: Weights) -> tuple[nn.Module, dict]:
    """timm's ``model`` called ``name`` with its pretrained weights, or as it is for random ones; and their provenance.

    Raises :class:`WeightsError` where they cannot be had or do not fit.
    """
    if weights.kind == "random":
        return model, provenance("timm", name, "random")
    source = Source(teacher, model.pretrained_cfg["hf_hub_id"], FILES, path=weights.path, revision=weights.revision)
    found = find(source)
    _check_config(teacher, found.file.parent / "config.json", model.pretrained_cfg)
    tensors = read_tensors(found.file)
    fill(model, tensors, teacher, found.file, ignored=_ignored(tensors, model.pretrained_cfg["num_classes"]))
    return model, found.provenance("timm", name, source)


def _ignored(tensors: dict[str, Tensor], classes: int) -> str:
    """Names that have no place in a model without a head: positions, and the head over the classes trained on.

    A head over other classes is another checkpoint's; DINO has none.
    """
    head = tensors.get("head.weight")
    return f"{POSITIONS}|{HEAD}" if head is not None and head.shape[:1] == (classes,) else POSITIONS


def _check_config(teacher: str, file, expected: dict) -> None:
    """Compare timm's ``config.json``, where one lies beside the weights, with what timm says of the model."""
    content = read_config(file)
    facts = content.get("pretrained_cfg") or content
    names = ("tag", "mean", "std", "interpolation")
    check_facts(teacher, file, {name: (facts.get(name), expected[name]) for name in names})
