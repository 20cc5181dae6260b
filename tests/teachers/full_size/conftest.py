"""Loaders that build small models, a good checkpoint of blip, and teachers of full size with random weights."""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest
from transformers import BertTokenizer, BlipForImageTextRetrieval

import teachers
from tests.teachers.full_size.checkpoints import BLIP, CAPTIONS, SMALL_BUILDERS


@pytest.fixture
def small(monkeypatch):
    """Makes the loaders of dino, beit and clip build small models; the way to the weights is that of full size."""
    for name, build in SMALL_BUILDERS.items():
        monkeypatch.setattr(import_module(f"teachers.{name}"), "build_full", build)


@pytest.fixture
def tokens(tmp_path) -> Path:
    """A folder with a BERT tokenizer of a few words, as ``save_pretrained`` leaves it."""
    folder = tmp_path / "blip"
    folder.mkdir()
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *sorted(set(" ".join(CAPTIONS).split()))]
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    BertTokenizer(vocab=str(tmp_path / "vocab.txt")).save_pretrained(folder)
    return folder


@pytest.fixture
def retrieval(tokens) -> Path:
    """A good checkpoint of blip."""
    BlipForImageTextRetrieval(BLIP).save_pretrained(tokens)
    return tokens


@pytest.fixture(scope="package")
def full() -> Callable:
    """Teachers of full size with random weights, each built once for this folder."""
    built = {}

    def load(name: str):
        built[name] = built.get(name) or teachers.load(name, "random")
        return built[name]

    return load
