"""The end of a session: report and baseline, and what a person sees of them."""

from bench.kit import paths
from bench.kit.files import WriteError
from bench.kit.markdown import number, plain_table
from bench.plan.case import Case
from bench.results import baseline, compare, record
from bench.results.verdict import append_to_step_summary
from bench.run.selection import Selection

HEADER = ("case", "status", "accuracy", "teacher", "untrained", "student MB", "deployed MB", "s/epoch")
WORDS = (0, 1)  # its columns; the others are figures


class Ending:
    """Writes the report (and a baseline, where asked for), and compares the results with a baseline."""

    def __init__(self, selection: Selection):
        from bench import report

        self.selected, self.verdict, self.report, self.notes, self.errors = selection.ids, None, None, [], []
        option, cases, tolerances = selection.option, selection.cases, selection.matrix.tolerances
        records, _ = record.read_all(selection.folder)
        # In the session's own precision: what ran in another is no result of it.
        chosen = [case for case in cases if case.id in selection.ids]
        own = {
            case.id: records[case.id]
            for case in chosen
            if case.id in records and records[case.id].fingerprint == case.fingerprint
        }
        self.results = {case: own.get(case.id) for case in chosen}
        try:
            if option.baseline:
                self.verdict = compare.against_file(option.baseline, cases, self.results, tolerances)
                self.notes.append(append_to_step_summary(self.verdict))
            if option.save_baseline:
                note = baseline.save(option.save_baseline, option.profile, cases, selection.ids, own, tolerances)
                self.notes.append(note)
        except (baseline.BaselineError, WriteError) as error:
            self.errors.append(str(error))
        try:
            [self.report] = report.write(selection.folder, cases, option.profile, self.verdict)
        except OSError as error:  # a full disk must not hide the verdict
            self.errors.append(str(error))

    @property
    def good(self) -> bool:
        """Whether all could be written, and the baseline, where there is one, was met."""
        return not self.errors and (self.verdict is None or self.verdict.passed)

    def print(self, reporter) -> None:
        """Print a summary through pytest's terminal ``reporter``."""
        reporter.section("distill-bench")
        reporter.write_line(plain_table(HEADER, [_row(case, entry) for case, entry in self.results.items()], WORDS))
        reporter.write_line("accuracy: k-NN top-1, or the mean of R@1 in both directions, in percent")
        reused = sum(("reused", True) in passed.user_properties for passed in reporter.stats.get("passed", []))
        if reused:
            reporter.write_line(f"{reused} of {len(self.selected)} cases were reused; run them again with --rerun all")
        if self.verdict:
            *lines, summary = self.verdict.text().splitlines()
            for line in lines:
                reporter.write_line(line, red="FAIL: " in line)
            reporter.write_line(summary, red=not self.verdict.passed, green=self.verdict.passed)
        for note in filter(None, self.notes):
            reporter.write_line(note)
        for error in self.errors:
            reporter.write_line(error, red=True)
        if self.report:
            reporter.write_line(f"report: {paths.shown(self.report)}")


def _row(case: Case, entry: record.Record | None) -> list[str]:
    from bench.report.content import headline, status

    if entry is None or entry.status != "done":
        return [case.id, status(entry), *[""] * 6]
    measured = entry.metrics
    scores = (headline(case.kind, scores) for scores in (measured, entry.teacher, entry.curve[0]))
    sizes = (measured.get("size_mb"), measured.get("deployed_mb"), measured["epoch_seconds"])
    return [case.id, status(entry), *map(number, scores), *(number(value, 2) for value in sizes)]
