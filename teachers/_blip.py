"""Full-size weights of blip, by transformers: the retrieval checkpoint with its own tokenizer."""

import hashlib
from pathlib import Path

from torch import nn

from teachers import Weights, random_like
from teachers._hub import Source, WeightsError, check_facts, fill, locate, read_config, read_tensors

FULL = "Salesforce/blip-itm-base-coco"
FILES = ("model.safetensors", "pytorch_model.bin")
# Without tokenizer.json transformers makes up a tokenizer to which every word is unknown, and says nothing.
BESIDE = ("config.json", "tokenizer.json", "tokenizer_config.json")
PREPROCESSOR = "preprocessor_config.json"
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
TEXT_LENGTH = 35
# transformers once saved them; now it counts itself.
POSITIONS = r"(text_encoder|vision_model)\.embeddings\.position_ids"
COMMON_WORDS = "a dog"


def load_full(weights: Weights) -> tuple:
    """The pretrained model, its tokenizer, the tokenizer's facts and the weights' provenance.

    A local path is a folder as ``save_pretrained`` leaves it, for the model and for its tokenizer. Raises
    :class:`WeightsError` where the weights cannot be had or do not fit.
    """
    if weights.path and not Path(weights.path).expanduser().is_dir():
        raise WeightsError(
            f"teacher blip: {weights.path} is not a folder; path: must name one with {', '.join(BESIDE)}"
        )
    beside = BESIDE if weights.path else (*BESIDE, PREPROCESSOR)
    checkpoint = locate(Source("blip", FULL, FILES, beside, weights.path, weights.revision))
    model = random_like(lambda: _read(checkpoint.file))
    folder = checkpoint.file.parent
    _check_preprocessing(folder / PREPROCESSOR, model.config.vision_config.image_size)
    tokenizer, facts = _read_tokenizer(folder)
    return model, tokenizer, facts, checkpoint.provenance("transformers", "BlipForImageTextRetrieval")


def _read(file: Path) -> nn.Module:
    """The model in ``file``'s folder. Raises :class:`WeightsError` unless the weights fill it exactly."""
    from transformers import BlipConfig, BlipForImageTextRetrieval

    config = read_config(file.parent / "config.json")
    model = BlipForImageTextRetrieval(BlipConfig.from_dict(config))
    towers = {name: getattr(model.config, name) for name in ("vision_config", "text_config")}
    check_facts(
        "blip",
        file.parent / "config.json",
        {f"{name}.hidden_act": (t.hidden_act, "gelu") for name, t in towers.items()},
    )
    made_for = ", ".join(config.get("architectures") or ["no class"])
    hint = f" (its config.json names {made_for}; only BlipForImageTextRetrieval fits)"
    return fill(model, read_tensors(file), "blip", file, POSITIONS, hint)


def _check_preprocessing(file: Path, size: int) -> None:
    """Compare ``preprocessor_config.json``, where there is one, with what the teacher does."""
    ours = {"image_mean": MEAN, "image_std": STD, "resample": 3}  # 3 is Pillow's bicubic
    theirs = read_config(file)
    ours["size"] = size if isinstance(theirs.get("size"), int) else {"height": size, "width": size}
    check_facts("blip", file, {name: (theirs.get(name), value) for name, value in ours.items()})


def _read_tokenizer(folder: Path) -> tuple:
    """The checkpoint's own tokenizer and its facts. Raises :class:`WeightsError` where it is damaged or knows no English."""
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        known = tokenizer.unk_token_id not in tokenizer(COMMON_WORDS).input_ids
    except Exception as error:  # of transformers, tokenizers or JSON: nothing names what a damaged file raises
        raise WeightsError(
            f"teacher blip: the tokenizer in {folder} cannot be read ({error}); fetch it again"
        ) from error
    if not known:
        raise WeightsError(f"teacher blip: the tokenizer in {folder} does not know the words {COMMON_WORDS!r}")
    digest = hashlib.sha256((folder / "tokenizer.json").read_bytes()).hexdigest()[:16]
    return tokenizer, {"name": type(tokenizer).__name__, "length": TEXT_LENGTH, "digest": digest}
