"""What a pytest session was asked for: the matrix, its cases, which of them are selected, and what is done already.

Needs no torch, so that a session which only reuses records takes about a second.
"""

import re
import shlex
from argparse import Namespace
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from bench.data import prepared
from bench.kit import paths
from bench.kit.errors import UserError
from bench.kit.files import sweep
from bench.plan import matrix
from bench.results import baseline, record


def is_benchmark(arguments: Sequence[str], option: Namespace) -> bool:
    """Whether pytest's ``arguments`` name the benchmark. Raises :class:`UserError` where only its options do.

    A gate must not pass because nothing was compared with its baseline.
    """
    bench = paths.ROOT / "bench"
    named = [Path(argument.split("::")[0]).resolve() for argument in arguments]
    if any(path.is_relative_to(bench) or bench.is_relative_to(path) for path in named):
        return True
    if option.baseline or option.save_baseline:
        raise UserError("--baseline and --save-baseline are for the benchmark: pytest bench --baseline FILE")
    return False


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
        self.ids = [name for node_id in node_ids if (name := node_id.partition("[")[2][:-1]) in known]

    def make_ready(self) -> None:
        """Remove what killed processes left. Raises :class:`UserError` where a dataset or the device is missing."""
        for folder in (self.folder, paths.features_folder()):
            sweep(folder)
        datasets = {case.dataset for case in self.cases if case.id in self.ids}
        for dataset in filter(prepared.is_prepared_kind, sorted(datasets)):
            prepared.manifest(dataset)
        # The defaults are always there, and need no torch.
        if (self.option.device, self.option.precision) != ("auto", "auto"):
            from bench.features.device import find

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
