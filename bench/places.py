"""Where prepared datasets and stored features live: ``--data DIR``, else DISTILL_BENCH_DATA, else ``data/``."""

import os
from pathlib import Path

from bench import catalog

VARIABLE = "DISTILL_BENCH_DATA"


def data_folder() -> Path:
    """The folder of prepared datasets and stored features; it need not exist yet."""
    return Path(os.environ.get(VARIABLE) or catalog.ROOT / "data").expanduser().resolve()


def use(folder: Path | None) -> None:
    """Let this process and its children use ``folder``, where one is given."""
    if folder is not None:
        os.environ[VARIABLE] = str(folder.expanduser().resolve())


def features_folder() -> Path:
    """Where features of teachers are stored."""
    return data_folder() / "features"


def shown(path: Path) -> str:
    """A path as a person wants to read it: relative to where they are, if it is below."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
