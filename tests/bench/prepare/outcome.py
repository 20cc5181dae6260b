"""What the command leaves and what it says."""

import shutil
from collections import namedtuple

from bench.__main__ import main

TINY = "tiny-imagenet"


def content_of(place):
    """Everything that is read later, as bytes by name."""
    names = ("manifest.json", "train.json", "test.json", "pixels-train/pixels.bin", "pixels-test/pixels.bin")
    return {name: (place / name).read_bytes() for name in names}


def refused(capsys, *arguments):
    """What a command that must fail says: one line, and nothing of Python's."""
    assert main(["prepare", *map(str, arguments)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    return error


def with_bad(content, bad, names):
    """``content`` with some pictures replaced by a bad one, or taken out."""
    changed = content | dict.fromkeys(names, bad)
    return {name: part for name, part in changed.items() if part is not None}


def set_free_disk(monkeypatch, free):
    """Let every disk have so many bytes free."""
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**12, 0, free))
