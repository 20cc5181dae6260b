"""The alarm that ends a case at its limit: pytest-timeout sets it for ``--case-timeout``, and it rings once.

Left out on purpose: a call into C that never returns. Python interrupts between two instructions, so such a case ends
when the call does.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def paused() -> Iterator[None]:
    """Stop the alarm's clock while the block runs; what is left of the limit comes after.

    For waiting on other processes, and for what must not be interrupted.
    """
    left, _ = signal.setitimer(signal.ITIMER_REAL, 0)
    try:
        yield
    finally:
        if left:
            signal.setitimer(signal.ITIMER_REAL, left)


def is_set() -> bool:
    """Whether the alarm is still to ring."""
    return signal.getitimer(signal.ITIMER_REAL)[0] > 0


def cancel() -> None:
    """Let the alarm ring no more."""
    signal.setitimer(signal.ITIMER_REAL, 0)
