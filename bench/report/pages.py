"""The Markdown report, section by section: the summary first, then tables and plots, long details folded.

GitHub shows it as it is meant to be seen; ``web_page`` makes a page of its own of it. A section is a function of the
report that returns Markdown, empty where it has nothing to say: adding one is one file, and one line here.
"""

from bench.report import failures, longer, opening, origins, passes, pictures, protocol, summary, teachers
from bench.report.content import Report
from bench.report.paper import claims, tables

SECTIONS = (
    opening.section,
    summary.section,
    opening.baseline,
    pictures.accuracy,
    teachers.section,
    passes.section,
    pictures.curves,
    longer.section,
    pictures.in_batch,
    claims.section,
    tables.section,
    tables.full_size,
    origins.section,
    pictures.explained,
    failures.section,
    protocol.section,
)


def page(report: Report) -> str:
    """The whole report."""
    return "\n\n".join(filter(None, (section(report) for section in SECTIONS))) + "\n"
