"""The alarm of ``--case-timeout``: it waits while it is paused, and rings afterwards."""

import signal
import time

import pytest

from bench.kit import alarm


class Rung(BaseException):
    pass


@pytest.fixture(autouse=True)
def ring():
    def handler(*_):
        raise Rung

    before = signal.signal(signal.SIGALRM, handler)
    yield
    alarm.cancel()
    signal.signal(signal.SIGALRM, before)


def test_what_is_left_of_the_limit_comes_after_a_pause():
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    with alarm.paused():
        time.sleep(0.4)
    left, _ = signal.getitimer(signal.ITIMER_REAL)
    assert alarm.is_set() and 0 < left <= 0.2
    with pytest.raises(Rung):
        time.sleep(1)
    assert not alarm.is_set()


def test_without_a_limit_or_once_cancelled_it_does_not_ring():
    with alarm.paused():
        pass
    assert not alarm.is_set()
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    alarm.cancel()
    time.sleep(0.1)
