"""Errors that are the user's to correct, and how a value and its nearest match are shown in one."""

import reprlib
from collections.abc import Iterable
from difflib import get_close_matches
from types import ModuleType
from typing import Any

from pydantic import ValidationError


class UserError(ValueError):
    """What was asked for cannot be done; the message says what, where and what to do, and needs no traceback."""


class LocatedError(UserError):
    """The file cannot be used; the message begins with ``file:line:column``."""


def defined(module: ModuleType, name: str) -> Any:
    """What a user's module must define. Raises :class:`UserError` where it does not."""
    if not hasattr(module, name):
        where = f"{module.__name__.replace('.', '/')}.py"
        raise UserError(f"{where} defines no {name}: docs/extending.md shows one that does")
    return getattr(module, name)


_short = reprlib.Repr()
_short.maxstring = _short.maxother = 80


def shown(value: object) -> str:
    """A value as an error shows it, cut where it is long."""
    return _short.repr(value)


def unknown_name(name: str, known: Iterable[str]) -> str:
    """An error message: a library does not have this name; the three that are nearest."""
    known = list(known)
    begin = [one for one in known if one.startswith(name)]
    near = get_close_matches(name, begin or known, n=3, cutoff=0)
    return f"there is no '{name}', did you mean {', '.join(map(repr, near))}?"


def nearest(name: str, known: Iterable[str]) -> str:
    """An ending for an error message: the nearest known name, or all of them."""
    known = tuple(known)
    match = get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean '{match[0]}'?" if match else f"known: {', '.join(known)}"


def first_fault(error: ValidationError) -> str:
    """The first of pydantic's faults, with its place."""
    fault = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in fault["loc"] if part != "[key]")
    return ": ".join(filter(None, (where, fault["msg"].removeprefix("Value error, "))))
