"""What a pytest session was asked for, and its end: the matrix, its cases, which of them are selected, what is done
already; then report and baseline, and what a person sees of them.

Needs no torch, so that a session which only reuses records takes about a second.
"""

import re
import shlex
from argparse import Namespace
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from bench.data import prepared
from bench.kit import paths
from bench.kit.errors import UserError, nearest
from bench.kit.files import WriteError, sweep
from bench.kit.markdown import folded, number, plain_table, table
from bench.kit.progress import Progress
from bench.plan import matrix
from bench.plan.case import Case
from bench.results import baseline, compare, record
from bench.results.verdict import append_to_step_summary
from bench.run import executors
from bench.run.job import Job
from bench.run.shards import shard

HEADER = ("case", "status", "accuracy", "teacher", "untrained", "student MB", "deployed MB", "s/epoch")
WORDS = (0, 1)  # its columns; the others are figures

# Options of pytest-benchmark that do nothing where xdist runs the cases, and need them in this process.
LOST_WITH_XDIST = (
    "benchmark_json", "benchmark_save", "benchmark_autosave", "benchmark_compare", "benchmark_compare_fail",
    "benchmark_histogram",
)  # fmt: skip


def is_benchmark(arguments: Sequence[str], option: Namespace) -> bool:
    """Whether pytest's ``arguments`` name the benchmark. Raises :class:`UserError` where only its options do, and where
    pytest would leave something out without a word.

    A gate must not pass because nothing was compared with its baseline.
    """
    bench = paths.ROOT / "bench"
    named = [Path(argument.split("::")[0]).resolve() for argument in arguments]
    if any(path.is_relative_to(bench) or bench.is_relative_to(path) for path in named):
        lost = [name for name in LOST_WITH_XDIST if getattr(option, name, None)]
        if lost and getattr(option, "dist", "no") != "no":
            names = ", ".join("--" + name.replace("_", "-") for name in lost)
            raise UserError(f"pytest-benchmark writes and compares nothing with -n: leave out {names}, or -n")
        return True
    if any((path / "test_distill.py").exists() and not path.is_relative_to(paths.ROOT) for path in named):
        # Pytest takes an option's value for a path until it knows the option, and its first path decides the root.
        raise UserError(
            f"pytest took {paths.ROOT} for its root: write the folder first, like pytest bench --baseline FILE"
        )
    if option.baseline or option.save_baseline:
        raise UserError("--baseline and --save-baseline are for the benchmark: pytest bench --baseline FILE")
    return False


def _case_id(node_id: str, known: Collection[str]) -> str:
    """The longest known id among an item's parameters, or nothing; other plugins add parameters before and after it."""
    parameters = re.search(r"\[(.*)\]", node_id.rpartition("::")[2])
    parts = parameters[1].split("-") if parameters else []
    spans = ((start, start + size) for size in range(len(parts), 0, -1) for start in range(len(parts) - size + 1))
    return next((name for start, end in spans if (name := "-".join(parts[start:end])) in known), "")


class Selection:
    """The cases of a session, by its options. Raises :class:`UserError`."""

    def __init__(self, option: Namespace):
        self.option, self.matrix = option, matrix.load(option.matrix)
        seeds, controls = matrix.chosen(option.seeds, option.controls)
        cases = matrix.cases(self.matrix, option.profile, option.matrix, seeds, controls)
        self.cases = tuple(replace(case, precision=option.precision) for case in cases)
        self.folder = paths.results_folder(option.results, option.profile)
        self.ids: list[str] = []  # of the cases that pytest selected
        if option.baseline:
            baseline.read(option.baseline, option.profile)

    def select(self, node_ids: Iterable[str]) -> None:
        """Keep the cases that pytest's selected items are."""
        known = {case.id for case in self.cases}
        names = [_case_id(node_id, known) for node_id in node_ids]
        self.ids = list(dict.fromkeys(filter(None, names)))

    def other_shards(self) -> set[str]:
        """Ids of the cases that ``--shard`` leaves to other machines."""
        if not self.option.shard:
            return set()
        return {case.id for case in self.cases} - shard(self.cases, self.option.profile, *self.option.shard)

    @property
    def needs_ending(self) -> bool:
        """Whether there is something to report: a case, or that a gate found none."""
        return bool(self.ids or self.option.baseline or self.option.save_baseline)

    def hint(self, keyword: str, arguments: Sequence[str]) -> str:
        """What to correct where pytest selected no case: an id, or a word of ``-k``, that none has; empty where all is known."""
        ids, profile = [case.id for case in self.cases], self.option.profile
        for name in (argument.partition("[")[2].removesuffix("]") for argument in arguments):
            if name and name not in ids:
                other = matrix.elsewhere(self.matrix, name)
                return other or f"profile '{profile}' has no case {name}, {nearest(name, ids)}"
        words = [word for word in re.findall(r"[\w.+-]+", keyword) if word not in ("and", "or", "not")]
        for word in words if not self.ids else ():
            if not any(word.lower() in name for name in ids):
                known = ids if "-" in word else dict.fromkeys("-".join(ids).split("-"))
                return f"no case of profile '{profile}' has {word} in its id, {nearest(word, known)}"
        return ""

    @property
    def chosen(self) -> list[Case]:
        """The selected cases."""
        return [case for case in self.cases if case.id in self.ids]

    def make_ready(self, progress: Progress) -> None:
        """Remove what killed processes left, and look at folders of images. Raises :class:`UserError` where a dataset or
        the device is missing."""
        for folder in (self.folder, paths.features_folder()):
            sweep(folder)
        for dataset in sorted({case.dataset for case in self.chosen if not (case.is_drawn or case.images)}):
            prepared.manifest(prepared.shipped(dataset))
        declared = {case.dataset: case.images for case in self.chosen if case.images}
        for dataset, images in sorted(declared.items()):
            from bench.prepare.own import make_ready

            make_ready(dataset, images, progress.say, progress.task)
        executors.require(self.executor, self.job(""), self.option)
        # The defaults are always there, and need no torch.
        if (self.option.device, self.option.precision) != ("auto", "auto"):
            from bench.features.device import find

            # With -n this process is the workers' controller, and must not take memory of any GPU.
            find(self.option.device, self.option.precision)

    def job(self, session: str, worker: int | None = None, workers: int = 1) -> Job:
        """What is to be done; ``worker`` is this process's number among ``workers`` of pytest-xdist."""
        option = self.option
        return Job(
            self.folder, self.cases, frozenset(self.ids), session, option.device, option.rerun, option.explain,
            option.case_timeout, worker, workers - 1,
        )  # fmt: skip

    @property
    def executor(self) -> str:
        """What runs the cases: the one that was asked for, else "serial" where pytest-benchmark keeps or compares what it timed."""
        timed = any(getattr(self.option, name, None) for name in LOST_WITH_XDIST)
        return self.option.executor or ("serial" if timed else "processes")

    def how_to_go_on(self, arguments: Sequence[str]) -> str:
        """What an interrupted session prints: how far it came, and the command that goes on from there."""
        done = sum(record.reusable(case, self.folder) is not None for case in self.chosen)
        command = shlex.join(["pytest", *arguments])
        command = re.sub(r" --rerun[ =]\w+", "", command)  # given again, it would start anew
        command = "the same command" if self.option.profile == matrix.DISTILL else command
        return f"interrupted: {done} of {len(self.ids)} cases are done, and partly trained ones are kept. Resume with: {command}"


class Ending:
    """Writes the report (and a baseline, where asked for), and compares the results with a baseline."""

    def __init__(self, selection: Selection, progress: Progress):
        from bench import report
        from bench.report import summary

        self.verdict, self.report, self.decisions, self.notes, self.errors = None, None, [], [], []
        option, cases, tolerances = selection.option, selection.cases, selection.matrix.tolerances
        # The command of that name has no such option.
        self.again = "" if option.profile == matrix.DISTILL else "; run them again with --rerun all"
        records, _ = record.read_all(selection.folder)
        if others := records.keys() - {case.id for case in cases}:
            where = paths.shown(selection.folder)
            self.notes.append(
                f"records of other seeds, controls or profiles in {where}, not in the report: {len(others)}"
            )
        # In the session's own precision: what ran in another is no result of it.
        self.results: dict[Case, record.Record | None] = {}
        for case in selection.chosen:
            entry = records.get(case.id)
            self.results[case] = entry if entry and entry.fingerprint == case.fingerprint else None
        try:
            if option.baseline:
                self.verdict = compare.against(baseline.read(option.baseline), cases, self.results, tolerances)
            if option.save_baseline:
                self.notes.append(baseline.save(option.save_baseline, option.profile, cases, self.results, tolerances))
        except (UserError, WriteError) as error:
            self.errors.append(str(error))
        try:
            options = report.chosen_by(option)
            self.report = report.write(selection.folder, cases, option.profile, self.verdict, options=options)[0]
            self.decisions = summary.decisions(report.Report(option.profile, [*self.results.items()]))
        except Exception as error:  # of whatever section, or a full disk: none may hide the verdict
            self.errors.append(f"the report is not written: {type(error).__name__}: {error}")
        if option.log:
            from bench import trackers

            entries = [entry for entry in self.results.values() if entry]
            files = report.files(selection.folder) if self.report else ()
            try:
                self.notes += trackers.log(option.log, selection.folder, option.profile, entries, progress.task, files)
            except UserError as error:
                self.errors.append(str(error))
        self.notes.append(append_to_step_summary(self._markdown()))

    def _markdown(self) -> str:
        """What stands on the summary page of a run of GitHub's: the verdict, where there is one, what to take, and the cases."""
        from bench.report import summary

        rows = [_row(case, entry) for case, entry in self.results.items()]
        done = sum(entry is not None and entry.status == "done" for entry in self.results.values())
        parts = [self.verdict.markdown()] if self.verdict else []
        parts += [table([*summary.HEADER], self.decisions, summary.WORDS)] if self.decisions else []
        parts += [f"{done} of {len(rows)} cases are done.", folded("Cases", table([*HEADER], rows, WORDS))]
        return "\n\n".join(parts)

    @property
    def good(self) -> bool:
        """Whether all could be written, and the baseline, where there is one, was met."""
        return not self.errors and (self.verdict is None or self.verdict.passed)

    def print(self, reporter) -> None:
        """Print a summary through pytest's terminal ``reporter``."""
        from bench.report import summary

        reporter.section("distill-bench")
        reporter.write_line(plain_table(HEADER, [_row(case, entry) for case, entry in self.results.items()], WORDS))
        alone = any(case.kind == "images" for case in self.results)
        nearest = "; without labels or captions R@10 of the image that is nearest by the teacher" if alone else ""
        reporter.write_line(f"accuracy: k-NN top-1, or the mean of R@1 in both directions, in percent{nearest}")
        if self.decisions:
            plain = [[cell.replace("**", "") for cell in line] for line in self.decisions]
            reporter.write_line(f"\n{plain_table(summary.HEADER, plain, summary.WORDS)}\n")
        reused = sum(("reused", True) in passed.user_properties for passed in reporter.stats.get("passed", []))
        if reused:
            reporter.write_line(f"{reused} of {len(self.results)} cases were reused{self.again}")
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
