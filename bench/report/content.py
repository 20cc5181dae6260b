"""What a report is made of: cases with their records, the same over their seeds, and what else its sections need."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from math import inf
from statistics import mean, stdev

from bench.kit.markdown import number
from bench.metrics import HEADLINE, HEADLINE_TITLES
from bench.plan.case import Case
from bench.registry import PAPERS
from bench.results.record import Record
from bench.results.verdict import Verdict

Chosen = list[tuple[Case, Record | None]]
Score = Callable[[str, dict], float | None]  # the accuracy in percent of a kind of data's scores
STATES = {"oom": "out of memory", "timeout": "timed out"}
Pairs = dict[tuple[str, str], list["Row"]]  # by (dataset, teacher)


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


@dataclass(frozen=True)
class Spread:
    """A figure over ``count`` seeds: mean and standard deviation (ddof 1; None for a single seed).

    ``step`` is what one image more or less changes of an accuracy.
    """

    mean: float
    deviation: float | None
    count: int = 1
    step: float = 0.0

    @classmethod
    def of(cls, values: list[float], step: float = 0.0) -> "Spread | None":
        """None where there are no values."""
        if not values:
            return None
        return cls(mean(values), stdev(values) if len(values) > 1 else None, len(values), step)

    def text(self, digits: int = 1, sign: str = "") -> str:
        """``12.3 ± 0.4``, without the deviation for a single seed."""
        text = number(self.mean, digits, sign)
        return text if self.deviation is None else f"{text} ± {self.deviation:.{digits}f}"

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % confidence interval of the mean (Student's t); without end for a single seed."""
        if self.deviation is None:
            return -inf, inf
        from scipy.special import stdtrit  # which a report of one seed does not wait for

        half = float(stdtrit(self.count - 1, 0.975)) * self._error
        return self.mean - half, self.mean + half

    @property
    def p_value(self) -> float:
        """How likely a mean at least as far from 0 is where there is no difference, two-sided; 1 for a single seed."""
        if self.deviation is None or self.mean == 0:
            return 1.0
        from scipy.special import stdtr

        return 2 * float(stdtr(self.count - 1, -abs(self.mean) / self._error)) if self._error else 0.0

    @property
    def _error(self) -> float:
        """The standard error of the mean.

        Seeds that happen to agree know a difference of two accuracies no better than two numbers that are rounded to the
        ``step``, whose difference has a standard deviation of step / sqrt(6).
        """
        return max(self.deviation, self.step / 6**0.5) / self.count**0.5

    @property
    def is_significant(self) -> bool:
        """Whether the interval of a mean difference excludes 0; never for a single seed."""
        low, high = self.interval
        return low > 0 or high < 0


@dataclass(frozen=True)
class Row:
    """A student after so many epochs, or one of its trained controls, with one loss; ``records`` are by seed."""

    case: Case  # of any seed
    records: dict[int, Record | None]

    @property
    def name(self) -> str:
        """The student, with its loss and its recipe where a profile compares several."""
        return f"{self.case.student} ({', '.join(self.case.variant)})" if self.case.variant else self.case.student

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

    @property
    def _step(self) -> float:
        """What one held-out image more or less changes of an accuracy, in points."""
        images = next((record.protocol.get("test_images") for record in self.done.values()), None)
        return 100 / images if images else 0.0

    def over_seeds(self, value: Callable[[Record], float | None], step: float = 0.0) -> Spread | None:
        """A figure of each finished record; None where any of them lacks it."""
        values = [value(record) for record in self.done.values()]
        return None if None in values else Spread.of(values, step)

    def metric(self, name: str) -> Spread | None:
        """A metric by name; none for a time that another machine measured."""
        return self.over_seeds(lambda record: record.metrics.get(name))

    def accuracy(self) -> Spread | None:
        """The headline accuracy in percent."""
        return self.over_seeds(lambda record: headline(self.case.kind, record.metrics))

    def accuracy_after(self, epochs: int) -> Spread | None:
        """The same on the way, after so many epochs; after none it is the untrained student's. None between two points of the
        curve."""
        return self.over_seeds(lambda record: headline(self.case.kind, record.curve[epochs]))

    @property
    def points(self) -> dict[int, Spread]:
        """The curve: accuracies by the epochs after which all seeds have one."""
        curve = {epoch: self.accuracy_after(epoch) for epoch in range(self.case.epochs + 1)}
        return {epoch: spread for epoch, spread in curve.items() if spread}

    def gain_over(self, other: "Row") -> Spread | None:
        """Points above the same student in another row, seed by seed."""
        both = [(record.metrics, other.done[seed].metrics) for seed, record in self.done.items() if seed in other.done]
        return Spread.of([self._points(own, its) for own, its in both], self._step)

    def gain_over_measured(self, control: str) -> Spread | None:
        """Points above a control that was measured beside each record; the untrained student's are those of epoch 0."""

        def scores(record: Record) -> dict:
            return record.curve[0] if control == "untrained" else record.controls.get(control, {})

        return self.over_seeds(lambda record: self._points(record.metrics, scores(record)), self._step)

    def gain_over_chance(self) -> Spread | None:
        """Points above what random answers score."""
        return self.over_seeds(
            lambda record: self._points(record.metrics, record.protocol.get("chance", {})), self._step
        )

    def _points(self, own: dict, its: dict) -> float | None:
        accuracies = headline(self.case.kind, own), headline(self.case.kind, its)
        return None if None in accuracies else accuracies[0] - accuracies[1]


def titles(rows: Iterable[Row]) -> list[str]:
    """What the headline is: of images alone where there are some."""
    alone = any(row.case.kind == "images" for row in rows)
    return [title for kind, title in HEADLINE_TITLES.items() if kind != "images" or alone]


def by_pair(several: Iterable[Row]) -> Pairs:
    """Rows by dataset and teacher, in their order."""
    pairs: Pairs = {}
    for row in several:
        pairs.setdefault((row.case.dataset, row.case.teacher), []).append(row)
    return pairs


@dataclass(frozen=True)
class Report:
    """What every section gets. ``faults`` says what is wrong with records that cannot be used, ``pictures`` names the plots
    that were drawn and the files of cases' pictures, ``options`` are those of ``pytest bench`` beside the profile, None where
    they do not say it all. ``older`` results were made by other code, data or weights than are there now."""

    profile: str
    cases: Chosen
    faults: tuple[str, ...] = ()
    verdict: Verdict | None = None
    pictures: tuple[str, ...] = ()
    options: str | None = None
    older: int = 0

    @cached_property
    def repeats_the_paper(self) -> bool:
        """Whether the paper has something to say about it: a case has one of its teachers, and not images of one's own."""
        return any(case.teacher in PAPERS and not case.images for case, _ in self.cases)

    @cached_property
    def students(self) -> Chosen:
        """The cases that are no controls."""
        return [(case, record) for case, record in self.cases if case.control is None]

    @cached_property
    def done(self) -> Chosen:
        """The cases with a result, controls included."""
        return [(case, record) for case, record in self.cases if is_done(record)]

    @cached_property
    def rows(self) -> list[Row]:
        """The cases without their seeds, in their order."""
        by_cell: dict[tuple, Row] = {}
        for case, record in self.cases:
            key = case.dataset, case.teacher, case.student, case.epochs, case.variant, case.control
            by_cell.setdefault(key, Row(case, {})).records[case.seed] = record
        return list(by_cell.values())

    @cached_property
    def pairs(self) -> Pairs:
        """The rows by dataset and teacher, those of students with a record and their controls."""
        pairs = by_pair(row for row in self.rows if row.case.control or any(row.records.values()))
        return {pair: rows for pair, rows in pairs.items() if any(row.case.control is None for row in rows)}

    @cached_property
    def longest(self) -> list[Row]:
        """The longest training of each student that has a result, without controls."""
        by_student: dict[tuple[str, str, str], Row] = {}
        for row in self.rows:
            key = row.case.dataset, row.case.teacher, row.name
            if row.done and row.case.control is None:
                by_student[key] = max(by_student.get(key, row), row, key=lambda one: one.case.epochs)
        return list(by_student.values())
