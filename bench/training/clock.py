"""The training clock: seconds spent inside training epochs, and nowhere else.

pytest-benchmark reads it as its timer, so that its rounds are epochs and evaluation, checkpoints and the
teacher's pass stay outside. An epoch that was restored from a checkpoint advances it by what it took then.
"""

_seconds = 0.0


def training_seconds() -> float:
    """Seconds of training so far in this process."""
    return _seconds


def advance(seconds: float) -> None:
    """Count ``seconds`` of training."""
    global _seconds
    _seconds += seconds
