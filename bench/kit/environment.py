"""What a record keeps of where it was made: software, hardware and the commit."""

import math
import os
import platform
import subprocess
from collections.abc import Sequence
from functools import cache
from importlib import metadata
from pathlib import Path

from bench.kit.paths import ROOT


def environment() -> dict:
    """Software, hardware and git commit; devices are added by who knows them."""
    return {
        "software": dict(_software()),
        "hardware": {"machine": platform.machine(), "processor": processor(), "cores": os.cpu_count()},
        "git": dict(_git()),
    }


@cache
def _software() -> dict:
    packages = ("torch", "torchvision", "timm", "open_clip_torch", "transformers", "fvcore", "numpy")
    return {"python": platform.python_version()} | {name: metadata.version(name) for name in packages}


def machine(hardware: dict) -> str:
    """What decides how long work takes, but for its precision, of a record's ``hardware``."""
    return f"{hardware.get('device')} ({hardware.get('processor')}, {hardware.get('threads')} threads)"


@cache
def processor() -> str:
    """The CPU's model name."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or "unknown"


def usable_cores() -> int:
    """How many cores this process may use: fewer than there are where it is confined to some, as by ``taskset``, or to a
    share of their time, as containers are."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return math.ceil(min(cores, cpu_quota()))


def cpu_quota(mounted: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> float:
    """How many cores' time Linux's control groups, version 1 or 2, grant this process; infinite where none bounds it."""
    quotas = [math.inf]
    for line in own.read_text().splitlines() if own.exists() else ():
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        top = mounted / "cpu" if controllers else mounted
        group = top / path.strip("/")
        for folder in (group, *group.parents):
            try:
                names = ("cpu.cfs_quota_us", "cpu.cfs_period_us") if controllers else ("cpu.max",)
                quota, period = " ".join((folder / name).read_text() for name in names).split()
            except OSError:  # the file system's root has none, nor has a folder that a container does not see
                continue
            if quota not in ("max", "-1"):
                quotas.append(int(quota) / int(period))
    return min(quotas)


def commit(environment: dict, digits: int = 40) -> str:
    """The commit of an environment in words, as Markdown; an unknown one where the suite was no git checkout."""
    git = environment.get("git", {})
    if not git.get("commit"):
        return "an unknown commit"
    text = f"commit `{git['commit'][:digits]}`" + (" with uncommitted changes" if git.get("dirty") else "")
    return text + (f"; that commit lacks {', '.join(git['lacks'])}" if git.get("lacks") else "")


def lacking(commit: str | None, paths: Sequence[str]) -> list[str] | None:
    """Which of these files, by their paths in the checkout, ``commit`` lacks; None where this checkout does not know it."""
    there = _ask("ls-tree", "-z", "--name-only", commit, "--", *paths) if commit else None
    return None if there is None else [path for path in paths if path not in there.split("\0")]


def _ask(*words: str) -> str | None:
    """What git answers of the checkout; None where it fails."""
    try:
        answer = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None


@cache
def _git() -> dict:
    """The checkout's commit, and whether it has uncommitted changes; None where it is no repository of its own."""
    # Unpacked below another repository, it is no part of that.
    top = _ask("rev-parse", "--show-toplevel")
    if top is None or Path(top).resolve() != ROOT:
        return {"commit": None, "dirty": None}
    status = _ask("status", "--porcelain")
    return {"commit": _ask("rev-parse", "HEAD"), "dirty": None if status is None else bool(status)}
