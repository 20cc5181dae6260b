"""What a report is made of: the cases of a profile with their records, and what else its sections need."""

from dataclasses import dataclass
from functools import cached_property

from bench.report.results import Chosen, is_done
from bench.report.seeds import Pairs, Row, by_pair, rows
from bench.results.verdict import Verdict


@dataclass(frozen=True)
class Report:
    """What every section gets. ``faults`` says what is wrong with records that cannot be used, ``pictures`` names the plots
    that were drawn and the files of cases' pictures."""

    profile: str
    cases: Chosen
    faults: tuple[str, ...] = ()
    verdict: Verdict | None = None
    pictures: tuple[str, ...] = ()

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
        """The cases without their seeds."""
        return rows(self.cases)

    @cached_property
    def pairs(self) -> Pairs:
        """The rows by dataset and teacher."""
        return by_pair(self.rows)
