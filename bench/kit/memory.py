"""How the C library deals with memory that is freed."""

import ctypes
import sys
from collections.abc import Callable

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h


def keep_freed_memory() -> None:
    """Let glibc keep freed memory, up to 2 GB, for what is allocated next; does nothing where the C library is another.

    By default it returns the maps of each training step to the system, which brings them back page by page. Blocks of more
    than 32 MB, which is as far as glibc itself goes, are returned all the same.
    """
    if mallopt := _of_library("mallopt"):
        mallopt(MMAP_THRESHOLD, 2**25)
        mallopt(TRIM_THRESHOLD, 2**31 - 1)


def return_freed_memory() -> None:
    """Give the system what is kept."""
    if malloc_trim := _of_library("malloc_trim"):
        malloc_trim(0)


def _of_library(name: str) -> Callable | None:
    return getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None
