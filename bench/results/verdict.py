"""The findings of a comparison, their sum, and how a person sees them: in the terminal, in the report, and on the summary
page of a GitHub workflow. One finding that fails makes the whole fail.
"""

import os
from dataclasses import dataclass, field
from pathlib import Path

from bench.kit.markdown import counted, folded, literal, plain_table, table
from bench.metrics import METRICS

# The kinds of findings that fail.
FAILS = (
    "worse", "not measured", "not a number", "no deviation",
    "did not run", "ended badly", "gone", "changed", "nothing compared",
)  # fmt: skip
STEP_SUMMARY = "GITHUB_STEP_SUMMARY"
HEADER = ("case", "metric", "before", "now", "change", "tolerance", "verdict")
WORDS = (0, 1, 5, 6)  # its columns; the others are figures
NAMED = 12  # cases in a note


@dataclass(frozen=True)
class Finding:
    """One result of a comparison: its kind, its case, and in words; of a metric also its values and the tolerance."""

    kind: str
    case: str
    text: str
    metric: str = ""
    before: float | None = None
    now: float | None = None
    tolerance: str = ""

    @property
    def fails(self) -> bool:
        return self.kind in FAILS

    def line(self) -> str:
        """The finding as one line."""
        words = self.text
        if self.before is not None and self.now is not None:
            unit = METRICS[self.metric].unit
            words = f"{number(self.before)} -> {number(self.now)} {unit} ({signed(self.now - self.before)}"
            words += f", tolerance {self.tolerance}): {self.text}" if self.tolerance else f"): {self.text}"
        return f"{self.case}: {' '.join(filter(None, (self.metric, words)))}" if self.case else words

    def cells(self) -> list[str]:
        """The finding as a row of the table."""
        before, now = ("" if value is None else number(value) for value in (self.before, self.now))
        change = signed(self.now - self.before) if before and now else ""
        word = f"FAIL: {self.text}" if self.fails else self.text
        return [self.case, self.metric, before, now, change, self.tolerance, word]


@dataclass
class Verdict:
    """The outcome: ``compared`` of the baseline's ``of`` cases, ``metrics`` values held against their tolerances.

    ``name`` is what its summary calls it.
    """

    of: int
    compared: int = 0
    metrics: int = 0
    findings: list[Finding] = field(default_factory=list)
    name: str = "baseline"

    def add(self, kind: str, case: str, text: str, **metric) -> None:
        """Keep a finding. Names and messages come from files: only what can be printed of them is kept, in one line."""
        self.findings.append(Finding(kind, plain(case), plain(text), **metric))

    @property
    def passed(self) -> bool:
        return not any(finding.fails for finding in self.findings)

    @property
    def failures(self) -> list[str]:
        """What decides, a line each."""
        return [finding.line() for finding in self.findings if finding.fails]

    def notes(self) -> list[str]:
        """What is listed and is no improvement, grouped."""
        groups: dict[str, list[Finding]] = {}
        for finding in self.findings:
            if not finding.fails and finding.kind != "better":
                groups.setdefault(finding.text, []).append(finding)
        return [_together(text, findings) for text, findings in groups.items()]

    def summary(self) -> str:
        """One line: passed or not, how many of how many cases, and the counts."""
        word = "passed" if self.passed else "FAILED"
        kinds = [finding.kind for finding in self.findings]
        counts = [counted(self.metrics, "metric"), counted(len(self.failures), "failure")]
        counts += [f"{kinds.count(kind)} {kind}" for kind in ("better", "not comparable") if kind in kinds]
        return f"{self.name} {word}: {self.compared} of its {self.of} cases compared, {', '.join(counts)}"

    def text(self) -> str:
        """The verdict for a terminal: the table, what else is to be said, and the summary as the last line."""
        rows = [finding.cells() for finding in self._tabled()]
        return "\n".join([*([plain_table(HEADER, rows, WORDS)] if rows else []), *self.notes(), self.summary()])

    def markdown(self) -> str:
        """The verdict as Markdown, without a heading: the summary, the table, notes, and what was not comparable folded."""
        parts = [f"**{literal(self.summary())}**"]
        if tabled := self._tabled():
            parts.append(_table(tabled))
        if notes := self.notes():
            parts.append("\n".join(f"* {literal(note)}" for note in notes))
        if apart := [finding for finding in self.findings if finding.kind == "not comparable"]:
            parts.append(folded(f"Not comparable: {len(apart)} values", _table(apart)))
        return "\n\n".join(parts)

    def _tabled(self) -> list[Finding]:
        """What the table has: the failures, then the improvements."""
        failures = [finding for finding in self.findings if finding.fails]
        return failures + [finding for finding in self.findings if finding.kind == "better"]


def append_to_step_summary(markdown: str) -> str:
    """Append a section to the file that ``$GITHUB_STEP_SUMMARY`` names, where it is set.

    Returns a complaint where that fails, else nothing: a page that cannot be written decides no exit code.
    """
    if path := os.environ.get(STEP_SUMMARY):
        try:
            with Path(path).open("a", encoding="utf-8") as file:
                file.write(f"## distill-bench\n\n{markdown}\n\n")
        except OSError as error:
            return f"the summary could not be appended to {STEP_SUMMARY}={path}: {error}"
    return ""


def _together(text: str, findings: list[Finding]) -> str:
    cases = list(dict.fromkeys(finding.case for finding in findings if finding.case))
    metrics = list(dict.fromkeys(finding.metric for finding in findings if finding.metric))
    if metrics:
        return f"{', '.join(metrics)} of {cases[0] if len(cases) == 1 else f'{len(cases)} cases'}: {text}"
    more = f" and {len(cases) - NAMED} more" if len(cases) > NAMED else ""
    return f"{', '.join(cases[:NAMED])}{more}: {text}" if cases else text


def _table(findings: list[Finding]) -> str:
    return table(list(HEADER), [[literal(cell) for cell in finding.cells()] for finding in findings], WORDS)


def plain(text: str) -> str:
    """Text from a file as one line without control characters, cut where it is longer than a person reads."""
    line = "".join(sign if sign.isprintable() else "?" for sign in " ".join(text.split()))
    return line if len(line) <= 400 else line[:400] + " ..."


def number(value: float) -> str:
    """A value for a person: counts in full, measures with six digits."""
    return f"{value:,}" if isinstance(value, int) else f"{value:.6g}"


def signed(change: float) -> str:
    """A change for a person, with its sign."""
    return f"{change:+,}" if isinstance(change, int) else f"{change:+.4g}"
