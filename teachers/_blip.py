"""Full-size weights of blip, by transformers: the retrieval checkpoint with its own tokenizer."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError

import torch
from torch import nn

from teachers import Weights, random_like
from teachers._hub import Source, WeightsError, check_facts, find, read_config, refuse, unreadable

FULL = "Salesforce/blip-itm-base-coco"
FILES = ("model.safetensors", "pytorch_model.bin")
# Without tokenizer.json transformers makes up a tokenizer to which every word is unknown, and says nothing.
BESIDE = ("config.json", "tokenizer.json", "tokenizer_config.json")
PREPROCESSOR = "preprocessor_config.json"
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
TEXT_LENGTH = 35
# Buffers that count from 0: transformers once saved them; now it makes its own, and not each version passes them over.
POSITIONS = {f"{tower}.embeddings.position_ids" for tower in ("text_encoder", "vision_model")}


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
    source = Source("blip", FULL, FILES, beside, weights.path, weights.revision)
    found = find(source)
    model = random_like(lambda: _read(found.file))
    _check_preprocessing(found.file.parent / PREPROCESSOR, model.config.vision_config.image_size)
    tokenizer, facts = _read_tokenizer(found.file.parent, model.config.text_config.vocab_size)
    return model, tokenizer, facts, found.provenance("transformers", "BlipForImageTextRetrieval", source)


def _read(file: Path) -> nn.Module:
    """The model in ``file``'s folder. Raises :class:`WeightsError` unless the weights fill it exactly."""
    from safetensors import SafetensorError
    from transformers import BlipForImageTextRetrieval

    try:
        with _quiet():
            model, found = BlipForImageTextRetrieval.from_pretrained(
                file.parent, dtype=torch.float32, local_files_only=True, ignore_mismatched_sizes=True,
                output_loading_info=True,
            )  # fmt: skip
    except (SafetensorError, UnpicklingError, RuntimeError, EOFError, OSError, ValueError) as error:
        raise unreadable(file, error) from error
    unexpected = set(found["unexpected_keys"]) - POSITIONS
    misfits = {name for name, *_ in found["mismatched_keys"]}
    broken = {name for name, tensor in model.named_parameters() if not torch.isfinite(tensor).all()}
    made_for = ", ".join(read_config(file.parent / "config.json").get("architectures") or ["no class"])
    hint = f" (its config.json names {made_for}; only BlipForImageTextRetrieval fits)"
    refuse("blip", file, found["missing_keys"], unexpected, misfits, broken, hint)
    return model


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps transformers from printing at length what a :class:`WeightsError` says shorter."""
    from transformers.utils import logging

    before, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(before)
        if bars:
            logging.enable_progress_bar()


def _check_preprocessing(file: Path, size: int) -> None:
    """Compare ``preprocessor_config.json``, where there is one, with what the teacher does."""
    stated = read_config(file)
    given = stated.get("size")
    sides = [given.get("height"), given.get("width")] if isinstance(given, dict) else given
    facts = {"image_mean": MEAN, "image_std": STD, "resample": 3}  # 3 is Pillow's bicubic
    compared = {name: (stated.get(name), ours) for name, ours in facts.items()}
    check_facts("blip", file, compared | {"size": (sides, [size, size] if isinstance(given, dict) else size)})


def _read_tokenizer(folder: Path, rows: int) -> tuple:
    """The checkpoint's own tokenizer and its facts. Raises :class:`WeightsError` where the model has too few rows for it."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    if len(tokenizer) > rows:
        raise WeightsError(
            f"teacher blip: the tokenizer in {folder} has {len(tokenizer)} tokens, the model only {rows}"
        )
    digest = hashlib.sha256((folder / "tokenizer.json").read_bytes()).hexdigest()[:16]
    return tokenizer, {"name": type(tokenizer).__name__, "length": TEXT_LENGTH, "digest": digest}
