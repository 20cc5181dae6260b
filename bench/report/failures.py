"""Cases that ended badly, with their messages, those that have not run, and records that cannot be used."""

from bench.kit.markdown import literal, table
from bench.report.content import Report
from bench.report.results import is_done, status


def section(report: Report) -> str:
    """Empty where all is well."""
    failed = [
        [case.id, status(record), literal(record.message)]
        for case, record in report.cases
        if record and not is_done(record)
    ]
    absent = sum(record is None for _, record in report.cases)
    parts = [table(["case", "status", "message"], failed, text=range(3))] if failed else []
    parts += [f"{absent} cases have not run under the present configuration."] if absent else []
    parts += [f"* {literal(fault)}" for fault in report.faults]
    return "## Failed and missing cases\n\n" + "\n\n".join(parts) if parts else ""
