"""Cases that differ in nothing but their seed, and figures over them: mean and standard deviation."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from statistics import mean, stdev

from bench.plan.case import Case
from bench.report.results import Chosen, headline, is_done, status
from bench.results.record import Record

Pairs = dict[tuple[str, str], list["Row"]]  # by (dataset, teacher)

# Quantiles of Student's t at 97.5 %, for 1, 2, ... degrees of freedom; for more the last one, which errs on the safe side.
T_QUANTILES = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)


@dataclass(frozen=True)
class Spread:
    """A figure over ``count`` seeds: mean and standard deviation (ddof 1; None for a single seed)."""

    mean: float
    deviation: float | None
    count: int = 1

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
    def is_significant(self) -> bool:
        """Whether the 95 % confidence interval of a mean difference (Student's t) excludes 0; never for a single seed."""
        if self.deviation is None:
            return False
        quantile = T_QUANTILES[min(self.count - 1, len(T_QUANTILES)) - 1]
        return abs(self.mean) > quantile * self.deviation / self.count**0.5


@dataclass(frozen=True)
class Row:
    """A student after so many epochs, or one of its trained controls, with one loss; ``records`` are by seed."""

    case: Case  # of any seed
    records: dict[int, Record | None]

    @property
    def name(self) -> str:
        """The student, with its loss where a profile compares several."""
        return f"{self.case.student} ({self.case.loss})" if self.case.several_losses else self.case.student

    @property
    def done(self) -> dict[int, Record]:
        """The finished records, by rising seed."""
        return {seed: record for seed, record in sorted(self.records.items()) if is_done(record)}

    @property
    def first(self) -> Record:
        """The finished record that stands for all seeds in what does not depend on them. Raises where there is none."""
        return next(iter(self.done.values()))

    @property
    def state(self) -> str:
        """What happened, where no seed is done."""
        return status(next(iter(self.records.values())))

    def over_seeds(self, value: Callable[[Record], float | None]) -> Spread | None:
        """A figure of each finished record; None where any of them lacks it."""
        values = [value(record) for record in self.done.values()]
        return None if None in values else Spread.of(values)

    def metric(self, name: str) -> Spread | None:
        """A metric by name; none for a time that another machine measured."""
        return self.over_seeds(lambda record: record.metrics.get(name))

    def accuracy(self) -> Spread | None:
        """The headline accuracy in percent."""
        return self.over_seeds(lambda record: headline(self.case.kind, record.metrics))

    def accuracy_after(self, epochs: int) -> Spread | None:
        """The same on the way, after so many epochs; after none it is the untrained student's."""
        return self.over_seeds(lambda record: headline(self.case.kind, record.curve[epochs]))

    def gain_over(self, other: "Row | None") -> Spread | None:
        """Points above the same student in another row, seed by seed."""
        if other is None:
            return None
        both = [(record.metrics, other.done[seed].metrics) for seed, record in self.done.items() if seed in other.done]
        return Spread.of([self._points(own, its) for own, its in both])

    def gain_over_measured(self, control: str) -> Spread | None:
        """Points above a control that was measured beside each record; the untrained student's are those of epoch 0."""

        def scores(record: Record) -> dict:
            return record.curve[0] if control == "untrained" else record.controls.get(control, {})

        return self.over_seeds(lambda record: self._points(record.metrics, scores(record)))

    def _points(self, own: dict, its: dict) -> float | None:
        accuracies = headline(self.case.kind, own), headline(self.case.kind, its)
        return None if None in accuracies else accuracies[0] - accuracies[1]


def rows(cases: Chosen) -> list[Row]:
    """The cases without their seeds, in their order."""
    by_cell: dict[tuple, Row] = {}
    for case, record in cases:
        loss = case.loss if case.several_losses else None
        key = case.dataset, case.teacher, case.student, case.epochs, loss, case.control
        by_cell.setdefault(key, Row(case, {})).records[case.seed] = record
    return list(by_cell.values())


def by_pair(several: Iterable[Row]) -> Pairs:
    """Rows by dataset and teacher, in their order."""
    pairs: Pairs = {}
    for row in several:
        pairs.setdefault((row.case.dataset, row.case.teacher), []).append(row)
    return pairs


def longest(several: Iterable[Row]) -> list[Row]:
    """The longest training of each student that has a result, without controls."""
    by_student: dict[tuple[str, str, str], Row] = {}
    for row in several:
        key = row.case.dataset, row.case.teacher, row.name
        if row.done and row.case.control is None:
            by_student[key] = max(by_student.get(key, row), row, key=lambda one: one.case.epochs)
    return list(by_student.values())
