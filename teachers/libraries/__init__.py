"""Models of libraries as teachers."""

from functools import cache
from importlib import import_module
from pathlib import Path

from bench.declared import LibraryModel
from teachers._library import Facts
from teachers._library import UnfitError as UnfitError


@cache
def describe(model: LibraryModel, path: Path | None = None) -> Facts:
    """What a plan must know of a library's model, whose weights lie in ``path`` if not on the hub; none are read.

    The model is built on the meta device, and looks at one image: shapes without numbers. Raises
    :class:`UnfitError` where the library has no such model or it cannot be a teacher as declared.
    """
    return import_module(f"teachers.libraries.{model.library}").describe(model, path)
