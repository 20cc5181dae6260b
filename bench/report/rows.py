"""A row of a table: a student after so many epochs, over all seeds, and what it gained over its controls."""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import mean, stdev

from bench.case import TRAINED_CONTROLS, Case
from bench.record import Record
from bench.report.markup import number
from bench.report.results import Chosen, headline, is_done, status


@dataclass(frozen=True)
class Spread:
    """A figure over seeds: mean, standard deviation (ddof 1; None for a single seed) and their number."""

    mean: float
    deviation: float | None
    count: int

    @classmethod
    def of(cls, values: list[float]) -> "Spread | None":
        """None where there are no values."""
        if not values:
            return None
        return cls(mean(values), stdev(values) if len(values) > 1 else None, len(values))

    def text(self, digits: int = 1, sign: str = "") -> str:
        """``12.3 ± 0.4``, without the deviation for a single seed."""
        text = f"{self.mean:{sign},.{digits}f}"
        return text if self.deviation is None else f"{text} ± {self.deviation:.{digits}f}"

    @property
    def exceeds_spread(self) -> bool:
        """Whether a difference is larger than its own deviation; never for a single seed, whose spread is unknown."""
        return self.deviation is not None and abs(self.mean) > self.deviation


@dataclass(frozen=True)
class Row:
    """The records of one student, loss and number of epochs: ``found`` by seed."""

    case: Case  # of any seed
    found: dict[int, Record | None]

    @property
    def name(self) -> str:
        """The student, with its loss where a profile compares several."""
        return f"{self.case.student} ({self.case.loss})" if self.case.several_losses else self.case.student

    @property
    def done(self) -> dict[int, Record]:
        return {seed: found for seed, found in self.found.items() if is_done(found)}

    @property
    def state(self) -> str:
        """What happened, where no seed is done."""
        return status(next(iter(self.found.values())))

    def over_seeds(self, value: Callable[[Record], float | None]) -> Spread | None:
        """A figure of each finished record; None where any of them lacks it."""
        values = [value(found) for found in self.done.values()]
        return None if None in values else Spread.of(values)

    def metric(self, name: str) -> Spread | None:
        """A metric by name."""
        return self.over_seeds(lambda found: found.metrics.get(name))

    def accuracy(self) -> Spread | None:
        """The headline accuracy in percent."""
        return self.over_seeds(lambda found: headline(self.case.kind, found.metrics))

    def gain_over_untrained(self) -> Spread | None:
        """Points above the same student as it was initialised."""
        kind = self.case.kind
        return self.over_seeds(lambda found: headline(kind, found.metrics) - headline(kind, found.curve[0]))

    def gain_over(self, other: "Row | None") -> Spread | None:
        """Points above the same student in another row, seed by seed."""
        if other is None:
            return None
        both = [(self.done[seed].metrics, other.done[seed].metrics) for seed in self.done if seed in other.done]
        return Spread.of([headline(self.case.kind, own) - headline(self.case.kind, its) for own, its in both])


def rows(chosen: Chosen) -> list[Row]:
    """The cases without their seeds, in their order; trained controls have rows of their own."""
    found: dict[tuple, Row] = {}
    for case, record in chosen:
        key = (*_key(case), case.control)
        found.setdefault(key, Row(case, {})).found[case.seed] = record
    return list(found.values())


def control_of(row: Row, name: str, among: list[Row]) -> Row | None:
    """The trained control called ``name`` of a row's student: no distillation has the task's loss, others the row's."""
    same = [other for other in among if other.case.control == name and _key(other.case)[:4] == _key(row.case)[:4]]
    return next((other for other in same if name == "no-distillation" or other.case.loss == row.case.loss), None)


def smallest_gain(row: Row, among: list[Row]) -> str:
    """The gain over the best of a student's controls: what distillation itself is known to have added, at least."""
    gains = {"untrained": row.gain_over_untrained()}
    for name in TRAINED_CONTROLS:
        gains[name.replace("-", " ")] = row.gain_over(control_of(row, name, among))
    known = {name: gain for name, gain in gains.items() if gain}
    if not known:
        return number(None)
    name = min(known, key=lambda name: known[name].mean)
    return f"{gained(known[name])} ({name})"


def best(candidates: list[Row]) -> Row | None:
    """The row with the highest accuracy."""
    done = [row for row in candidates if row.accuracy()]
    return max(done, key=lambda row: row.accuracy().mean, default=None)


def leads(row: Row, among: list[Row]) -> bool:
    """Whether a row is the best by more than the spread of both, over every other student."""
    own = row.accuracy()
    if own is None or own.deviation is None:
        return False
    others = [other.accuracy() for other in among if other.case.student != row.case.student and other.accuracy()]
    return all(own.mean - other.mean > max(own.deviation, other.deviation or 0) for other in others)


def bold(text: str, really: bool) -> str:
    """``text``, bold where it is to be."""
    return f"**{text}**" if really else text


def shown(spread: Spread | None, digits: int = 1) -> str:
    """A figure with its spread, or a dash."""
    return number(None) if spread is None else spread.text(digits)


def gained(spread: Spread | None) -> str:
    """A gain with its sign, bold where it exceeds its spread; or a dash."""
    return number(None) if spread is None else bold(spread.text(sign="+"), spread.exceeds_spread)


def _key(case: Case) -> tuple:
    loss = case.loss if case.several_losses else None
    return case.dataset, case.teacher, case.student, case.epochs, loss
