"""How the C library deals with memory that is freed."""

import ctypes
import sys

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h


def keep_freed_memory() -> None:
    """Let glibc keep freed memory, up to 2 GB, for what is allocated next; does nothing where the C library is another.

    By default it returns the maps of each training step to the system, which brings them back page by page. Blocks of more
    than 32 MB, which is as far as glibc itself goes, are returned all the same.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt:
        mallopt(MMAP_THRESHOLD, 2**25)
        mallopt(TRIM_THRESHOLD, 2**31 - 1)
