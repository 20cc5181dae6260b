"""What becomes of memory that is freed."""

import ctypes
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest
import torch

from bench.kit.memory import keep_freed_memory

PAGES = 24 * 2**20 // 4096  # of a large map


def left_of_a_map(keeps: bool) -> int:
    """Pages that a new process holds more after it has made and freed a map."""
    if keeps:
        keep_freed_memory()
    torch.ones(1024)  # what PyTorch itself loads stays
    before = _resident_pages()
    torch.ones(PAGES * 1024)
    return _resident_pages() - before


def _resident_pages() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1])


@pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "mallopt"), reason="another C library than glibc"
)
def test_the_memory_of_a_map_is_kept_for_the_next_one():
    left = {}
    for keeps in (False, True):
        with ProcessPoolExecutor(1, get_context("spawn")) as fresh:
            left[keeps] = fresh.submit(left_of_a_map, keeps).result()
    assert left[False] < PAGES / 10 and left[True] > PAGES * 0.9
