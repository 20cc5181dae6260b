"""What becomes of memory that is freed, and that no later case is charged with it."""

import ctypes
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest
import torch

from bench.kit.memory import keep_freed_memory
from bench.measure.timing import PeakMemory

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


def peak_after_a_map() -> float | None:
    """MB by which the peak of a case is higher where one before it made a map and freed it."""
    keep_freed_memory()
    before, cpu = [], torch.device("cpu")
    for pages in (1, PAGES):
        torch.ones(pages * 1024)
        before.append(PeakMemory(cpu).megabytes())
    return None if None in before else before[1] - before[0]


def in_a_new_process(function, *arguments):
    with ProcessPoolExecutor(1, get_context("spawn")) as fresh:
        return fresh.submit(function, *arguments).result()


glibc = pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "mallopt"), reason="another C library than glibc"
)


@glibc
def test_the_memory_of_a_map_is_kept_for_the_next_one():
    assert in_a_new_process(left_of_a_map, False) < PAGES / 10
    assert in_a_new_process(left_of_a_map, True) > PAGES * 0.9


@glibc
def test_what_an_earlier_case_has_freed_is_no_part_of_a_cases_peak():
    higher = in_a_new_process(peak_after_a_map)
    if higher is None:
        pytest.skip("this system does not reset peaks")
    assert higher < 5
