"""What a pytest session was asked for: the matrix, its cases, which of them are selected, and what is done already.

Needs no torch, so that a session which only reuses records takes about a second.
"""

import re
import shlex
from argparse import Namespace
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from bench.data import prepared
from bench.kit import paths
from bench.kit.errors import UserError
from bench.kit.files import sweep
from bench.plan import matrix
from bench.results import baseline, record

# Options of pytest-benchmark that do nothing where xdist runs the cases.
LOST_WITH_XDIST = (
    "benchmark_json", "benchmark_save", "benchmark_autosave", "benchmark_compare", "benchmark_compare_fail",
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
    if any((path / "test_distill.py").exists() for path in named):
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
    """The cases of a session, by its options. Raises :class:`UserError` or :class:`baseline.BaselineError`."""

    def __init__(self, option: Namespace):
        self.option, self.matrix = option, matrix.load(option.matrix)
        seeds, controls = matrix.chosen(option.seeds, option.controls)
        cases = matrix.cases(self.matrix, option.profile, option.matrix, seeds, controls)
        self.cases = tuple(replace(case, precision=option.precision) for case in cases)
        self.folder = paths.results_folder(option.results, option.profile)
        self.ids: list[str] = []  # of the cases that pytest selected
        self._noted: set[str] = set()
        if option.baseline:
            baseline.read(option.baseline)

    def select(self, node_ids: Iterable[str]) -> None:
        """Keep the cases that pytest's selected items are."""
        known = {case.id for case in self.cases}
        names = [_case_id(node_id, known) for node_id in node_ids]
        self.ids = list(dict.fromkeys(filter(None, names)))

    @property
    def needs_ending(self) -> bool:
        """Whether there is something to report: a case, or that a gate found none."""
        return bool(self.ids or self.option.baseline or self.option.save_baseline)

    def make_ready(self) -> None:
        """Remove what killed processes left. Raises :class:`UserError` where a dataset or the device is missing."""
        for folder in (self.folder, paths.features_folder()):
            sweep(folder)
        datasets = {case.dataset for case in self.cases if case.id in self.ids}
        for dataset in filter(prepared.is_prepared_kind, sorted(datasets)):
            prepared.manifest(dataset)
        # The defaults are always there, and need no torch.
        if (self.option.device, self.option.precision) != ("auto", "auto"):
            from bench.kit.device import find

            # With -n this process is the workers' controller, and must not take memory of any GPU.
            find(self.option.device, self.option.precision)

    def reusable(self, case: matrix.Case, say: Callable[[str], None]) -> record.Record | None:
        """The finished record that stands for the case, if one does; ``say`` gets a line about each damaged one, once."""

        if self.option.rerun == "all":
            return None

        def note(text: str) -> None:
            if text not in self._noted:
                say(text)
            self._noted.add(text)

        entry = record.reusable(case, self.folder, note)
        lacks_picture = self.option.explain and not case.control and not record.has_picture(self.folder, case.id)
        return None if lacks_picture else entry

    def how_to_go_on(self, arguments: Sequence[str]) -> str:
        """What an interrupted session prints: how far it came, and the command that goes on from there."""
        chosen = [case for case in self.cases if case.id in self.ids]
        done = sum(record.reusable(case, self.folder) is not None for case in chosen)
        command = shlex.join(["pytest", *arguments])
        command = re.sub(r" --rerun[ =]\w+", "", command)  # given again, it would start anew
        return f"interrupted: {done} of {len(self.ids)} cases are done, and what the others had trained is kept. Go on with: {command}"
