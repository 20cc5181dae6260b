"""What is queued, running, done and failed of a profile, from any machine that sees its results folder. Needs no torch."""

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

from bench.kit.markdown import plain_table
from bench.plan.case import Case
from bench.results import record, running

HEADER = ("case", "status", "epoch", "since", "where")


def describe(cases: tuple[Case, ...], folder: Path) -> str:
    """A line a case, and how many there are of each status."""
    records, _ = record.read_all(folder)
    now = running.now(folder)
    rows = [_row(case, records.get(case.id), now.get(case.id)) for case in cases]
    counts = Counter(row[1] for row in rows)
    return "\n".join([plain_table(HEADER, rows, text=range(5)), ", ".join(f"{n} {name}" for name, n in counts.items())])


def _row(case: Case, entry: record.Record | None, runs: running.Running | None) -> list[str]:
    from bench.report.content import status

    if runs:
        minutes = (datetime.now(UTC) - datetime.fromisoformat(runs.since)).total_seconds() / 60
        where = f"{runs.host}, process {runs.process}"
        return [case.id, "running", f"{runs.epoch} of {runs.epochs}", f"{minutes:.0f} min", where]
    if entry is None or (entry.status == "done" and entry.fingerprint != entry.as_run(case).fingerprint):
        return [case.id, "queued", "", "", ""]
    return [case.id, status(entry), f"{case.epochs} of {case.epochs}" if entry.status == "done" else "", "", ""]
