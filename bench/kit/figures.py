"""Matplotlib by its own defaults: figures do not depend on a user's settings."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager


@contextmanager
def drawing(settings: Mapping) -> Iterator[None]:
    """Matplotlib's defaults with ``settings``, in place of what a matplotlibrc says.

    A notebook's kernel names its backend in the environment, and matplotlib cannot be imported where that is not installed.
    """
    os.environ["MPLBACKEND"] = "agg"
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(settings)
        yield
