"""Datasets, one file each: the file's name is the dataset's name.

A dataset file states ``KIND`` ("classification" or "captions") and ``PREPARED`` (whether it consists of files that
``python -m bench prepare`` fetches), and offers ``load(split, count, seed) -> Split``. A prepared set also says what its
files are (``index``), and any may state its ``LICENCE``. Nothing here knows of teachers or students.
"""

from importlib import import_module

from bench.data.split import Split


def load(name: str, split: str, count: int | None, seed: int = 0) -> Split:
    """Load ``split`` ("train" or "test") of the dataset called ``name``: at most ``count`` images (None: all).

    Raises :class:`UserError` naming the image where it is no split as :class:`Split` describes it.
    """
    loaded = import_module(f"bench.data.{name.replace('-', '_')}").load(split, count, seed)
    loaded.check(f"dataset {name}, {split} split")
    return loaded
