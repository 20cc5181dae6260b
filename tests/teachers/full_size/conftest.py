"""Loaders that build small models, a good checkpoint of blip, and teachers of full size with random weights."""

from collections.abc import Callable
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest
from transformers import BertTokenizer, BlipForImageTextRetrieval

import teachers
from tests.teachers.full_size.checkpoints import BLIP, CAPTIONS, SMALL_BUILDERS


@pytest.fixture
def small(monkeypatch):
    """Makes the loaders of dino, beit and clip build small models; the way to the weights is that of full size."""
    of_timm = {import_module(f"teachers.{name}").FULL: SMALL_BUILDERS[name] for name in ("dino", "beit")}
    monkeypatch.setattr("teachers._timm.build_full", lambda name: of_timm[name]())
    monkeypatch.setattr("teachers.clip.build_full", SMALL_BUILDERS["clip"])


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
    return cache(lambda name: teachers.load(name, "random"))
