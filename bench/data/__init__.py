"""Datasets, one file each: the file's name is the dataset's name.

A dataset file states ``KIND`` ("classification" or "captions") and ``PREPARED`` (whether it consists of files that
``python -m bench prepare`` fetches), and offers ``load(split, count, seed) -> Split``. A prepared set also says what its
files are (``index``), and any may state its ``LICENCE``. Nothing here knows of teachers or students.
"""

from importlib import import_module

from bench.data import own, prepared
from bench.data.split import Split
from bench.declared import Images
from bench.kit.errors import defined


def source(name: str, images: Images | None = None) -> prepared.Source:
    """Where a dataset of files lies."""
    return own.source(name, images) if images else prepared.shipped(name)


def load(name: str, split: str, count: int | None, seed: int = 0, images: Images | None = None) -> Split:
    """Load ``split`` ("train" or "test") of the dataset called ``name``: at most ``count`` images (None: all).

    ``images`` describes one that the matrix declares. Raises :class:`UserError` naming the image where it is no split as
    :class:`Split` describes it.
    """
    if images:
        loaded = prepared.load(own.source(name, images), split, count, seed)
    else:
        module = import_module(f"bench.data.{name.replace('-', '_')}")
        loaded = defined(module, "load")(split, count, seed)
    loaded.check(f"dataset {name}, {split} split", bare=images is not None)
    return loaded
