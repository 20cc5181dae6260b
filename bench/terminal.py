"""What a person sees at the end of a session: a table, what was reused, and where the report is."""

import shutil
from io import StringIO
from pathlib import Path

from bench import record
from bench.case import Case


def finish(reporter, folder: Path, cases: tuple[Case, ...], profile: str) -> None:
    """Write the report into ``folder`` and summarise it through pytest's terminal ``reporter``."""
    from bench import report
    from bench.report.scores import headline, number, status

    ran = {
        item.callspec.params["case"].id
        for item in reporter._session.items
        if "case" in getattr(item, "fixturenames", ())
    }
    if not ran:
        return
    reused = sum(("reused", True) in found.user_properties for found in reporter.stats.get("passed", []))
    path = report.write(folder, cases, profile)
    records, _ = record.read_all(folder)
    rows = []
    for case in cases:
        found = report.current(case, records)
        if case.id not in ran:
            continue
        if found is None or found.status != "done":
            rows.append([case.id, status(found), *[""] * 6])
            continue
        m = found.metrics
        rows.append(
            [case.id, status(found), number(headline(case.kind, m)), number(headline(case.kind, found.teacher)),
             number(headline(case.kind, found.curve[0])), number(m["size_mb"], 2), number(m["deployed_mb"], 2),
             number(m["epoch_seconds"], 2)]
        )  # fmt: skip
    reporter.section(f"distill-bench: {profile}")
    reporter.write_line(_table(rows))
    reporter.write_line("accuracy: k-NN top-1, or the mean of R@1 in both directions, in percent")
    if reused:
        reporter.write_line(f"{reused} of {len(ran)} cases were reused; run them again with --rerun all")
    reporter.write_line(f"report: {_shown(path)}")


def _table(rows: list[list[str]]) -> str:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for title in ("case", "status", "accuracy", "teacher", "untrained", "student MB", "deployed MB", "s/epoch"):
        table.add_column(title, justify="left" if title in ("case", "status") else "right", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    text = StringIO()
    Console(file=text, width=max(110, shutil.get_terminal_size().columns)).print(table)
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines())


def _shown(path: Path) -> str:
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
