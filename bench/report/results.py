"""What a record says to a report: whether it has a result, the state it is in, and its headline accuracy."""

from collections.abc import Callable

from bench.metrics import HEADLINE
from bench.plan.case import Case
from bench.results.record import Record

Chosen = list[tuple[Case, Record | None]]
Score = Callable[[str, dict], float | None]  # the accuracy in percent of a kind of data's scores
# What the headline is, by the kind of the data.
HEADLINE_TITLES = {"classification": "k-NN top-1", "captions": "R@1, mean of both directions"}
STATES = {"oom": "out of memory", "timeout": "timed out"}


def is_done(record: Record | None) -> bool:
    """Whether there is a result."""
    return record is not None and record.status == "done"


def status(record: Record | None) -> str:
    """A record's state in words that stand in a table's cell."""
    return "not run" if record is None else STATES.get(record.status, record.status)


def headline(kind: str, scores: dict) -> float | None:
    """The accuracy in percent that a report leads with, the mean of :data:`HEADLINE`; None where one of them is not there."""
    values = [scores.get(name) for name in HEADLINE[kind]]
    return None if None in values else sum(values) / len(values)


def paper_accuracy(kind: str, scores: dict) -> float | None:
    """The paper's accuracy in percent, matching within a batch, whatever the ``kind``."""
    return scores.get("paper_accuracy")
