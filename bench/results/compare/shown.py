"""The verdict as a person sees it: in the terminal, in the report, and on the summary page of a GitHub workflow.

Its table has what failed and what got better beyond its tolerance; the rest is counted.
"""

import os
from pathlib import Path

from bench.kit.markdown import folded, plain_table, table
from bench.results.compare.verdict import Finding, Verdict, number, signed

VARIABLE = "GITHUB_STEP_SUMMARY"
HEADER = ("case", "metric", "before", "now", "change", "tolerance", "verdict")
WORDS = (0, 1, 5, 6)  # its columns; the others are figures


def text(verdict: Verdict) -> str:
    """The verdict for a terminal: the table, what else is to be said, and the summary as the last line."""
    found = _told(verdict)
    drawn = [plain_table(HEADER, map(_cells, found), WORDS)] if found else []
    return "\n".join([*drawn, *verdict.notes(), verdict.summary()])


def markdown(verdict: Verdict) -> str:
    """The verdict as Markdown, without a heading: the summary, the table, notes, and what was not comparable folded."""
    found, apart = _told(verdict), [finding for finding in verdict.findings if finding.kind == "not comparable"]
    parts = [f"**{_escaped(verdict.summary())}**"]
    if found:
        parts.append(_table(found))
    if notes := verdict.notes():
        parts.append("\n".join(f"* {_escaped(note)}" for note in notes))
    if apart:
        parts.append(folded(f"Not comparable: {len(apart)} values", _table(apart)))
    return "\n\n".join(parts)


def append_to_step_summary(verdict: Verdict) -> str:
    """Append the verdict to the file that ``$GITHUB_STEP_SUMMARY`` names, where it is set.

    Returns a complaint where that fails, else nothing: a page that cannot be written decides no exit code.
    """
    path = os.environ.get(VARIABLE)
    if not path:
        return ""
    try:
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(f"## distill-bench\n\n{markdown(verdict)}\n\n")
    except (OSError, ValueError) as error:
        return f"the summary could not be appended to {VARIABLE}={path}: {error}"
    return ""


def _told(verdict: Verdict) -> list[Finding]:
    """What the table has: the failures, then the improvements."""
    failures = [finding for finding in verdict.findings if finding.fails]
    return failures + [finding for finding in verdict.findings if finding.kind == "better"]


def _cells(finding: Finding) -> list[str]:
    before, now = ("" if value is None else number(value) for value in (finding.before, finding.now))
    known = finding.before is not None and finding.now is not None
    change = signed(finding.now - finding.before) if known else ""
    word = f"FAIL: {finding.text}" if finding.fails else finding.text
    return [finding.case, finding.metric, before, now, change, finding.tolerance, word]


def _table(found: list[Finding]) -> str:
    return table(list(HEADER), [[_escaped(cell) for cell in _cells(finding)] for finding in found], WORDS)


def _escaped(text: str) -> str:
    """Text that Markdown shows as it is; a bar ends no cell, which :func:`table` sees to."""
    return "".join(f"\\{sign}" if sign in r"\`*[]<>~#" else sign for sign in text)
