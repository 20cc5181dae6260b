"""Breadth that a plain run samples: parameters that pass through the same lines, of which ``-m slow`` takes the rest."""

from collections.abc import Callable, Iterable

import pytest


def some(values: Iterable, chosen: Iterable | Callable) -> list:
    """``values`` as parameters, all of them slow but those that are among ``chosen``, or for which it is true."""
    is_chosen = chosen if callable(chosen) else [*chosen].__contains__
    rows = [(value, value if isinstance(value, tuple) else (value,)) for value in values]
    return [pytest.param(*row, marks=() if is_chosen(value) else pytest.mark.slow) for value, row in rows]


def first_of_each_folder(names: list[str]) -> list[str]:
    """Of files by name, one in each folder."""
    return [*{name.rpartition("/")[0]: name for name in reversed(names)}.values()]
