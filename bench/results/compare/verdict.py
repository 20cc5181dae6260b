"""What a comparison found, and how that adds up: the first finding that fails makes the whole fail."""

from dataclasses import dataclass, field

from bench.metrics import METRICS

# What fails of what may be found of a metric or a case.
FAILS = (
    "worse", "not measured", "not a number", "no deviation",
    "did not run", "ended badly", "gone", "changed", "nothing compared",
)  # fmt: skip


@dataclass(frozen=True)
class Finding:
    """One thing that was found: its kind, of which case, and in words.

    Of a metric also its name, its values in its own unit, and the tolerance in words.
    """

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


@dataclass
class Verdict:
    """The outcome: ``compared`` of the baseline's ``of`` cases, ``metrics`` values held against their tolerances."""

    of: int
    compared: int = 0
    metrics: int = 0
    findings: list[Finding] = field(default_factory=list)

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
        return [_together(text, found) for text, found in groups.items()]

    def summary(self) -> str:
        """One line: passed or not, how many of how many cases, and the counts."""
        word = "passed" if self.passed else "FAILED"
        kinds = [finding.kind for finding in self.findings]
        counts = [f"{self.metrics} metrics", f"{len(self.failures)} failures"]
        counts += [f"{kinds.count(kind)} {kind}" for kind in ("better", "not comparable") if kind in kinds]
        return f"baseline {word}: {self.compared} of its {self.of} cases compared, {', '.join(counts)}"


def _together(text: str, found: list[Finding]) -> str:
    cases = list(dict.fromkeys(finding.case for finding in found if finding.case))
    metrics = list(dict.fromkeys(finding.metric for finding in found if finding.metric))
    if metrics:
        return f"{', '.join(metrics)} of {cases[0] if len(cases) == 1 else f'{len(cases)} cases'}: {text}"
    return f"{', '.join(cases)}: {text}" if cases else text


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
