"""Errors that are the user's to correct, and how a value is shown in one."""

import reprlib


class UserError(ValueError):
    """What was asked for cannot be done; the message says what, where and what to do, and needs no traceback."""


class LocatedError(UserError):
    """The file cannot be used; the message begins with ``file:line:column``."""


_short = reprlib.Repr()
_short.maxstring = _short.maxother = 80


def shown(value: object) -> str:
    """A value as an error shows it, cut where it is long."""
    return _short.repr(value)
