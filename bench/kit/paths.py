"""Where prepared datasets and stored features live: ``--data DIR``, else DISTILL_BENCH_DATA, else ``data/``."""

import os
import shutil
from pathlib import Path

from bench.kit.errors import UserError
from bench.kit.markdown import gigabytes

ROOT = Path(__file__).resolve().parent.parent.parent  # of the checkout
VARIABLE = "DISTILL_BENCH_DATA"


def data_folder() -> Path:
    """The folder of prepared datasets and stored features; it need not exist yet."""
    return Path(os.environ.get(VARIABLE) or ROOT / "data").expanduser().resolve()


def use(folder: Path | None) -> None:
    """Let this process and its children use ``folder``, where one is given.

    Raises :class:`UserError` where that, or what is used without, is no folder and cannot become one.
    """
    if folder is not None:
        os.environ[VARIABLE] = str(usable(folder, "--data"))
    elif os.environ.get(VARIABLE):
        usable(Path(os.environ[VARIABLE]), VARIABLE)


def usable(folder: Path, option: str) -> Path:
    """The whole path of a folder that is there or can be made. Raises :class:`UserError` naming the ``option``."""
    try:
        path = folder.expanduser().resolve()
        there = nearest_existing(path)
    except (OSError, RuntimeError, ValueError) as error:  # no such user, links in a circle, too long a name
        raise UserError(f"{option} {folder}: {error}; name another folder") from None
    if not there.is_dir():
        raise UserError(f"{option} {folder}: {there} is a file; name a folder, or a new one")
    if there != path and not os.access(there, os.W_OK | os.X_OK):
        raise UserError(f"{option} {folder}: no folder can be made in {there}; name another one")
    return path


def nearest_existing(path: Path) -> Path:
    """``path``, or the nearest folder above it that exists."""
    return next(each for each in (path, *path.parents) if each.exists())


def lacking(folder: Path, needed: int) -> str:
    """An error message where the disk of a folder, which need not exist yet, lacks room for ``needed`` bytes; else nothing."""
    missing = needed - shutil.disk_usage(nearest_existing(folder)).free
    if missing <= 0:
        return ""
    return (
        f"{shown(folder)} needs {gigabytes(needed)} more, and its disk lacks {gigabytes(missing)} of it; make room (python -m bench "
        f"cache prunes stored features) or name another data folder in {VARIABLE}"
    )


def features_folder() -> Path:
    """Where features of teachers are stored: in the data folder, or where that is read-only in the checkout's own."""
    folder = data_folder() / "features"
    return folder if os.access(nearest_existing(folder), os.W_OK) else ROOT / "data" / "features"


def features_of(name: str) -> Path:
    """The folder of the store called ``name``: the data folder's where that is complete, else where it is made."""
    folder = data_folder() / "features" / name
    return folder if (folder / "complete").exists() else features_folder() / name


def results_folder(given: Path | None, profile: str) -> Path:
    """Where a profile's records and report go: ``--results DIR``, else ``reports/runs/PROFILE``."""
    return usable(given or ROOT / "reports" / "runs" / profile, "--results")


def shown(path: Path) -> str:
    """A path for people: relative to the working directory where it is below it."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
