"""What the plots of a report draw: of each student its longest training, over its seeds. Pure numbers, no drawing."""

from dataclasses import dataclass
from statistics import mean, stdev

from bench.case import Case
from bench.record import Record
from bench.report.results import Chosen, headline, is_done

Drawn = dict[tuple[str, str], list["Series"]]  # by (dataset, teacher)


@dataclass(frozen=True)
class Series:
    """A student's longest training under one teacher: one case and finished record for each seed, in their order."""

    label: str
    cases: tuple[Case, ...]
    records: tuple[Record, ...]

    @property
    def case(self) -> Case:
        """What all of the cases have in common but the seed."""
        return self.cases[0]

    @property
    def accuracy(self) -> list[float]:
        """Headline accuracy of each seed, in percent."""
        return _headlines(self.case.kind, [found.metrics for found in self.records])

    @property
    def untrained(self) -> list[float]:
        """The same of the untrained student."""
        return _headlines(self.case.kind, [entry for found in self.records for entry in found.curve[:1]])

    @property
    def teacher(self) -> float | None:
        """The same of the teacher itself."""
        return headline(self.case.kind, self.records[0].teacher)

    @property
    def curve(self) -> list[tuple[int, float, float]]:
        """Epoch, mean and standard deviation of the headline accuracy; epoch 0 is the untrained student."""
        entries = [entry for found in self.records for entry in found.curve]
        epochs = sorted({entry["epoch"] for entry in entries})
        by_epoch = {
            epoch: _headlines(self.case.kind, [one for one in entries if one["epoch"] == epoch]) for epoch in epochs
        }
        return [(epoch, *spread(values)) for epoch, values in by_epoch.items() if values]

    @property
    def in_batch(self) -> dict[str, list]:
        """The first seed's [batch size, accuracy in percent] by "student" and "teacher"; empty where it has none."""
        return self.records[0].in_batch


def series(chosen: Chosen) -> Drawn:
    """What is drawn: by (dataset, teacher) each student's series; pairs and students without a result are left out.

    Where a profile compares several losses, a student has a series for each, with the loss in its label.
    """
    done = [(case, found) for case, found in chosen if is_done(found) and case.control is None]
    grouped: dict[tuple, list[tuple[Case, Record]]] = {}
    for case, found in done:
        grouped.setdefault((case.dataset, case.teacher, case.student, case.loss), []).append((case, found))
    by_pair: Drawn = {}
    for (dataset, teacher, student, loss), items in grouped.items():
        label = f"{student} ({loss})" if items[0][0].several_losses else student
        longest = max(case.epochs for case, _ in items)
        seeds = sorted((item for item in items if item[0].epochs == longest), key=lambda item: item[0].seed)
        by_pair.setdefault((dataset, teacher), []).append(Series(label, *zip(*seeds, strict=True)))
    return by_pair


def spread(values: list[float]) -> tuple[float, float]:
    """Mean and standard deviation (of a sample: n - 1) of at least one value; one value has the deviation 0."""
    return mean(values), stdev(values) if len(values) > 1 else 0.0


def _headlines(kind: str, several: list[dict]) -> list[float]:
    return [value for value in (headline(kind, scores) for scores in several) if value is not None]
