"""The options of ``pytest bench`` and of the commands of ``python -m bench``, a row each."""

import math
import sys
from argparse import ArgumentTypeError, Namespace
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from bench import registry
from bench.controls import NAMES
from bench.data.prepared import is_prepared_kind
from bench.kit.errors import UserError, shown
from bench.plan import matrix
from bench.plan.case import PRECISIONS
from bench.run import executors


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


_count = _within(int, 1, 10**6, f"a whole number from 1 to {10**6}")
_days = _within(float, 0, sys.float_info.max, "a number of days from 0")
# Three years: a system's alarm has a bound of its own.
_seconds = _within(float, math.ulp(0), 10**8, f"a number of seconds above 0 and up to {10**8}")


def _part(text: str) -> tuple[int, int]:
    """A type for argparse: ``PART/PARTS``."""
    part, _, parts = text.partition("/")
    if not (part.isdecimal() and parts.isdecimal() and 1 <= int(part) <= int(parts)):
        raise ArgumentTypeError(f"expected PART/PARTS, such as 2/8, not {shown(text)}")
    return int(part), int(parts)


def _trackers(text: str) -> list[str]:
    """A type for argparse: names of trackers."""
    from bench import trackers

    try:
        return trackers.names(text)
    except UserError as error:
        raise ArgumentTypeError(str(error)) from None


def _option(name: str, commands: str, help: str, **words) -> tuple[str, list[str], dict[str, Any]]:
    """An option, or an argument without dashes, the commands that take it, and the rest in argparse's words."""
    return name, commands.split(), {"help": help} | words


OWN = "distill"  # one's own images
CASES = "pytest plan report export status"  # the commands that choose cases
EVERY = f"{CASES} sizes compare prepare cache"
CONTROLS = f"controls instead of the profile's: all, none, or some of {', '.join(NAMES)}"

OPTIONS = (
    _option("dataset", "prepare", "which datasets", nargs="+", choices=lambda: filter(is_prepared_kind, registry.names("dataset"))),
    _option("case", "export", "a case's id, like shapes-dino-resnet-10ep", metavar="CASE"),
    _option("before", "compare", "a results folder, or a baseline's file", type=Path, metavar="A"),
    _option("now", "compare", "what is compared with A; cases of one side alone are listed and do not fail", type=Path, metavar="B"),
    _option("action", "cache", "list (default), or prune: delete", default="list", choices=("list", "prune"), nargs="?"),
    _option(
        "action", "results", "add: copy a run into results/; check: validate results/; table: rebuild the leaderboard",
        choices=("add", "check", "table"),
    ),
    _option("run", "results", "with add: a results folder or a published report", type=Path, metavar="RUN", nargs="?"),
    _option("--name", "results", "with add: of its file (default: that of the folder)", metavar="NAME"),
    _option(
        "--retrain", "results", "with check: retrain COUNT quick cases, chosen at random, and compare their figures",
        type=_count, metavar="COUNT",
    ),
    _option("names", "cache", "with prune: only these, or all whose names begin so", metavar="NAME", nargs="*"),
    _option("--data", OWN, "a folder of images", type=Path, metavar="DIR", required=True, dest="images"),
    _option("--captions", OWN, "the file with their captions, if they have some", type=Path, metavar="FILE"),
    _option("--teacher", OWN, "timm:MODEL, open_clip:MODEL[:WEIGHTS], transformers:REPOSITORY, or one of the suite's", metavar="MODEL", required=True),
    _option("--teacher-path", OWN, "its weights, if not those of the hub", type=Path, metavar="FILE"),
    _option("--student", OWN, "timm:MODEL, or one of the suite's", metavar="MODEL", required=True),
    _option("--weights", OWN, "the teacher's weights; random: a dry run that fetches nothing", default="pretrained", choices=("pretrained", "random")),
    _option("--epochs", OWN, "how long the student is trained (default: 20)", type=_count, default=20, metavar="COUNT"),
    _option("--size", OWN, "side of the pixels that the student reads (default: 224)", type=_count, default=224, metavar="PIXELS"),
    _option("--loss", OWN, "that the student is trained by (default: its own)", metavar="NAME"),
    _option("--batch-size", OWN, "images of a step (default: as in matrix.yaml)", type=_count, metavar="COUNT"),
    _option(
        "--views", OWN, "augmented views of each image, one an epoch in turn; the teacher sees each once (default: 1, the image itself)",
        type=_count, metavar="COUNT",
    ),
    _option("--profile", CASES, "profile of matrix.yaml (default: pocket)", default="pocket", metavar="NAME"),
    _option("--matrix", f"{CASES} compare", "another matrix.yaml", type=Path, default=matrix.DEFAULT, metavar="FILE"),
    _option("--results", CASES, "records, checkpoints and report (default: reports/runs/PROFILE)", type=Path, metavar="DIR"),
    _option("--seeds", f"{CASES} {OWN}", "seeds instead of the profile's, like 0,1,2", metavar="LIST"),
    _option("--controls", f"{CASES} {OWN}", CONTROLS, metavar="LIST"),
    _option("--data", EVERY, "prepared datasets and stored features (default: data/)", type=Path, metavar="DIR"),
    _option(
        "--rerun", "pytest", "all: start anew; missing: reuse what is done (default); none: run nothing, only report",
        default="missing", choices=("all", "missing", "none"),
    ),
    _option(
        "--baseline", "pytest report", "compare the results with a baseline; the comparison decides the exit code",
        type=Path, metavar="FILE",
    ),
    _option("--save-baseline", "pytest", "write the results as a baseline", type=Path, metavar="FILE"),
    _option(
        "--shard", "pytest", "run one of several equally long parts, such as 2/8, where machines share nothing; copy all "
        "records into one folder for one report", type=_part, metavar="PART/PARTS",
    ),
    _option("--device", f"pytest {OWN}", "auto (default), cpu, cuda or cuda:N", default="auto", metavar="NAME"),
    _option(
        "--precision", f"pytest plan {OWN}", "auto: fp32 on a CPU; on CUDA bf16 for teachers and tf32 for students",
        default="auto", choices=PRECISIONS,
    ),
    _option(
        "--executor", f"pytest {OWN}",
        "processes (default): a case on each core, or GPU; serial: one after another in this process, the default with "
        "--benchmark-save and the like, and under pytest-xdist; ray: on a cluster of machines; slurm: as jobs",
        choices=executors.NAMES,
    ),
    _option("--ray-address", f"pytest {OWN}", "with --executor ray: the cluster's, or auto; default: this machine alone", metavar="ADDRESS"),
    _option("--slurm", f"pytest {OWN}", "with --executor slurm: options of sbatch, like partition=gpu,gres=gpu:1,time=60 (minutes)", metavar="LIST"),
    _option("--explain", "pytest", "a picture for each case: attention and nearest images", action="store_true"),
    _option(
        "--case-timeout", "pytest",
        "stop a case, its teacher's pass included, after so long (status timeout), and go on with the next",
        type=_seconds, metavar="SECONDS",
    ),
    _option(
        "--log", f"pytest report export {OWN}", "send results to mlflow, tensorboard, wandb or several, by commas or repeated",
        type=_trackers, action="extend", metavar="TRACKER",
    ),
    _option("--workers", "plan", "estimate for N cases side by side (default: as many as would run here)", type=_count, metavar="N"),
    _option("--json", "plan sizes", "as a list of objects", action="store_true"),
    _option("--html", "report", "also as one self-contained page", action="store_true"),
    _option("--csv", "report", "also all metrics, a line each", action="store_true"),
    _option("--latex", "report", "also the tables of gains, for papers", action="store_true"),
    _option("--publish", "report", "copy it into reports/PROFILE, to be committed", action="store_true"),
    _option("--classifier", f"export {OWN}", "with a linear classifier, of labelled data", action="store_true"),
    _option("--to", "export", "a new folder", type=Path, metavar="DIR", required=True),
    _option("--to", OWN, "matrix, records, report and the student", type=Path, metavar="DIR", required=True),
    _option("--archives", "prepare", "take the archives from here", type=Path, metavar="DIR"),
    _option("--subset", "prepare", "accept fewer images than the official counts", action="store_true"),
    _option("--unused", "cache", "with prune: only what has not been used for DAYS days", type=_days, metavar="DAYS"),
    _option("--all", "cache", "with prune: everything", action="store_true"),
)  # fmt: skip


# What --help puts together; the rest comes first. An option of one's own images is named by where its value goes.
GROUPS = {
    "which cases": ("--profile", "--matrix", "--seeds", "--controls", "--shard", "--rerun"),
    "images and models of your own": (
        "images", "--captions", "--teacher", "--teacher-path", "--student", "--weights", "--epochs", "--size", "--loss",
        "--batch-size", "--views",
    ),
    "where and how it runs": (
        "--results", "--data", "--archives", "--device", "--precision", "--executor", "--workers", "--ray-address", "--slurm",
        "--case-timeout",
    ),
    "what comes of it": (
        "--baseline", "--save-baseline", "--explain", "--log", "--json", "--html", "--csv", "--latex", "--publish",
        "--classifier", "--to",
    ),
}  # fmt: skip
EXAMPLES = {
    "pytest": """\
  pytest bench -k "blip and cbam"                   one corner of the matrix
  pytest bench --seeds 0,1,2 --controls all         with spreads, and all that a gain is held against
  pytest bench --profile ci --baseline FILE         a gate""",
    "": """\
examples:
  python -m bench plan --profile long               what would run, and for how long
  python -m bench distill --data ~/pets --teacher timm:vit_small_patch14_dinov2.lvd142m \\
      --student timm:mobilenetv4_conv_small --epochs 20 --to my-run
  python -m bench export shapes-dino-densenet-10ep --to my-student""",
}


def add_options(command: str, group: Callable[[str], Callable]) -> None:
    """Declare the options of a command; ``group(title)`` gives ``add_argument`` of argparse, or ``addoption`` of pytest.

    Those of no group have an empty title.
    """
    titles = {name: title for title, names in GROUPS.items() for name in names}
    adders = cache(group)
    for name, commands, words in OPTIONS:
        if command in commands:
            add_argument = adders(titles.get(words.get("dest", name), ""))
            if callable(words.get("choices")):  # the files of a folder: looked up for the command that takes them
                words = words | {"choices": [*words["choices"]()]}
            add_argument(name, **words)


def for_pytest(options: Namespace) -> list[str]:
    """The options of a command that pytest has too, as words for it; without those at their defaults."""
    given = []
    for name, commands, words in OPTIONS:
        value = getattr(options, name.strip("-").replace("-", "_"), None)
        if "pytest" in commands and value not in (None, words.get("default")):
            given += [name, ",".join(value) if isinstance(value, list) else str(value)]
    return given
