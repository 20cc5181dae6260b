"""What a session was asked to run, as plain data that any process can be given. Needs no torch."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from bench.plan.case import Case
from bench.results import record


class CaseError(Exception):
    """A case failed; the message is all that the user needs to read."""


@dataclass(frozen=True)
class Job:
    """``cases`` are those of the profile, ``selected`` the ids of those that run; results go to ``folder``.

    ``session`` is a name that the processes of one session share and no other session has. ``worker`` is this process's
    number among those that share the work, None where it has all of it; ``beside`` says how many cases run at the same
    time as one of its own.
    """

    folder: Path
    cases: tuple[Case, ...]
    selected: frozenset[str]
    session: str = ""
    device: str = "auto"
    rerun: str = "missing"
    explain: bool = False
    case_timeout: float | None = None
    worker: int | None = None
    beside: int = 0

    @property
    def chosen(self) -> list[Case]:
        """The selected cases, in the order of the profile."""
        return [case for case in self.cases if case.id in self.selected]

    def reusable(self, case: Case, say: Callable[[str], None] = lambda text: None) -> record.Record | None:
        """The finished record that stands for the case, if one does; ``say`` gets a line about a damaged one."""
        if self.rerun == "all":
            return None
        entry = record.reusable(case, self.folder, say)
        lacks_picture = self.explain and case.has_picture and not record.picture_of(self.folder, case.id).exists()
        return None if lacks_picture else entry


def by_run(cases: Iterable[Case]) -> dict[str, list[Case]]:
    """The cases of each training run, by its name, in their order."""
    runs: dict[str, list[Case]] = {}
    for case in cases:
        runs.setdefault(case.run, []).append(case)
    return runs


def key_of(case: Case) -> tuple:
    """What cases that share a teacher and its features have in common."""
    return case.dataset, case.teacher, case.has_random_teacher
