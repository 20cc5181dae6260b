"""The options of ``pytest bench`` and of the commands of ``python -m bench``, a row each."""

import math
import sys
from argparse import ArgumentTypeError, Namespace
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import registry
from bench.controls import NAMES
from bench.data.prepared import is_prepared_kind
from bench.kit.errors import shown
from bench.plan import matrix
from bench.plan.case import PRECISIONS


def _within(convert: Callable[[str], float], low: float, high: float, expected: str) -> Callable[[str], float]:
    """A type for argparse: a number from ``low`` to ``high``."""

    def parse(text: str) -> float:
        try:
            value = convert(text)
        except ValueError:
            value = math.nan
        if not low <= value <= high:
            raise ArgumentTypeError(f"expected {expected}, not {shown(text)}")
        return value

    return parse


_images = _within(int, 2, 10**6, f"a whole number from 2 to {10**6}")
_days = _within(float, 0, sys.float_info.max, "a number of days from 0")
# Three years: a system's alarm has a bound of its own.
_seconds = _within(float, math.ulp(0), 10**8, f"a number of seconds above 0 and up to {10**8}")


@dataclass(frozen=True)
class Option:
    """An option, or an argument without dashes, in argparse's words, and the ``commands`` that take it."""

    name: str
    commands: str
    help: str
    type: Callable[[str], object] | None = None
    default: object = None  # False: a flag
    choices: Callable[[], Iterable[str]] | None = None  # asked when a command takes it: some are files of a folder
    metavar: str | None = None
    nargs: str | None = None
    required: bool = False

    def words(self) -> dict[str, Any]:
        """What ``add_argument`` takes."""
        if self.default is False:
            return {"help": self.help, "action": "store_true"}
        words = {"type": self.type, "default": self.default, "metavar": self.metavar, "nargs": self.nargs}
        words |= {"choices": self.choices and list(self.choices()), "required": self.required or None}
        return {"help": self.help} | {name: value for name, value in words.items() if value is not None}


CASES = "pytest plan report export"  # the commands that choose cases
EVERY = f"{CASES} sizes compare prepare cache speed"
CONTROLS = f"controls instead of the profile's: all, none, or some of {', '.join(NAMES)}"

OPTIONS = (
    Option("dataset", "prepare", "which datasets", nargs="+", choices=lambda: filter(is_prepared_kind, registry.names("dataset"))),
    Option("case", "export", "a case's id, like shapes-dino-resnet-10ep", metavar="CASE"),
    Option("before", "compare", "a results folder, or a baseline's file", Path, metavar="A"),
    Option("now", "compare", "what is compared with A", Path, metavar="B"),
    Option("action", "cache", "list (default), or prune: delete", default="list", choices=lambda: ("list", "prune"), nargs="?"),
    Option("names", "cache", "with prune: only these, or all whose names begin so", metavar="NAME", nargs="*"),
    Option("--profile", CASES, "profile of matrix.yaml (default: pocket)", default="pocket", metavar="NAME"),
    Option("--matrix", f"{CASES} compare", "another matrix.yaml", Path, matrix.DEFAULT, metavar="FILE"),
    Option("--results", CASES, "records, checkpoints and report (default: reports/runs/PROFILE)", Path, metavar="DIR"),
    Option("--seeds", CASES, "seeds instead of the profile's, like 0,1,2", metavar="LIST"),
    Option("--controls", CASES, CONTROLS, metavar="LIST"),
    Option("--data", EVERY, "prepared datasets and stored features (default: data/)", Path, metavar="DIR"),
    Option(
        "--rerun", "pytest", "all: start anew; missing: reuse what is done (default); none: run nothing, only report",
        default="missing", choices=lambda: ("all", "missing", "none"),
    ),
    Option(
        "--baseline", "pytest report", "compare the results with a baseline; the comparison decides the exit code",
        Path, metavar="FILE",
    ),
    Option("--save-baseline", "pytest", "write the results as a baseline", Path, metavar="FILE"),
    Option("--device", "pytest speed", "auto (default), cpu, cuda or cuda:N", default="auto", metavar="NAME"),
    Option(
        "--precision", "pytest plan speed", "auto: fp32 on a CPU; on CUDA bf16 for teachers and tf32 for students",
        default="auto", choices=lambda: PRECISIONS,
    ),
    Option("--explain", "pytest", "a picture for each case: attention and nearest images", default=False),
    Option(
        "--case-timeout", "pytest",
        "stop a case, its teacher's pass included, after so long (status timeout), and go on with the next",
        _seconds, metavar="SECONDS",
    ),
    Option("--json", "plan sizes", "as a list of objects", default=False),
    Option("--html", "report", "also as one self-contained page", default=False),
    Option("--csv", "report", "also all metrics, a line each", default=False),
    Option("--latex", "report", "also the tables of gains, for papers", default=False),
    Option("--publish", "report", "copy it into reports/PROFILE, to be committed", default=False),
    Option("--to", "export", "a new folder", Path, metavar="DIR", required=True),
    Option("--archives", "prepare", "take the archives from here", Path, metavar="DIR"),
    Option("--subset", "prepare", "accept fewer images than the official counts", default=False),
    Option("--unused", "cache", "with prune: only what has not been used for DAYS days", _days, metavar="DAYS"),
    Option("--all", "cache", "with prune: everything", default=False),
    Option("--teacher", "speed", "whose pass is timed", default="dino", choices=lambda: registry.names("teacher")),
    Option(
        "--weights", "speed", "random (default): nothing is fetched",
        default="random", choices=lambda: ("random", "pocket", "pretrained"),
    ),
    Option(
        "--images", "speed", "random images (default: 32 on a CPU, 2048 on a GPU; either takes minutes)",
        _images, metavar="COUNT",
    ),
)  # fmt: skip


def add_options(command: str, add_argument: Callable) -> None:
    """Give the options of a command to ``add_argument`` of argparse, or ``addoption`` of pytest."""
    for option in OPTIONS:
        if command in option.commands.split():
            add_argument(option.name, **option.words())


def for_pytest(options: Namespace) -> list[str]:
    """The options of a command that pytest has too, as words for it; without those at their defaults."""
    words = []
    for option in OPTIONS:
        value = getattr(options, option.name.strip("-"), None)
        if "pytest" in option.commands and value not in (None, option.default):
            words += [option.name, str(value)]
    return words
