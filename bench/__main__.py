# PYTHON_ARGCOMPLETE_OK
"""The commands beside pytest: ``python -m bench COMMAND``, as :data:`COMMANDS` lists them."""

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path

from bench.kit import paths
from bench.kit.errors import UserError
from bench.kit.markdown import counted, plain_table
from bench.kit.paths import ROOT
from bench.options import EXAMPLES, add_options, for_pytest
from bench.plan import matrix
from bench.plan.case import Case
from bench.run import preview, status
from bench.run.job import by_run
from bench.run.processes import slots

REPORTS = ROOT / "reports"
AS_WRITTEN = argparse.RawDescriptionHelpFormatter
LISTS = """\
Reports count the evaluation images that a pretrained teacher has seen where a list of its
training images lies in the data folder (none is fetched):
  DATASET/seen-by-TEACHER.txt   on each line a file name as in the dataset; for coco, a number
  coco/dataset_coco.json        Karpathy's splits, for blip, which was fine-tuned on two of them"""


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit code. A command that decides none returns nothing."""
    parser = _parser()
    if "_ARGCOMPLETE" in os.environ:  # a shell asks, which the first line allows
        import argcomplete

        argcomplete.autocomplete(parser)
    try:
        options, unknown = parser.parse_known_args(arguments)
        if unknown:  # said by the command that was meant, with its usage
            options.refuse(f"unrecognized arguments: {' '.join(unknown)}")
        paths.use(getattr(options, "data", None))
        code = options.command(options) or 0
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # of `plan | head`, which has read what it wanted
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (UserError, OSError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not type(error).__module__.startswith(("bench.", "teachers")):
            raise  # ours, not the user's
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; the same command goes on where it stopped", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m bench", epilog=EXAMPLES[""], formatter_class=AS_WRITTEN)
    commands = parser.add_subparsers(required=True, metavar="COMMAND", help="one of these; COMMAND --help says more")
    for name, (command, text) in COMMANDS.items():
        epilog = LISTS if name == "prepare" else None
        sub = commands.add_parser(name, help=text, description=text, epilog=epilog, formatter_class=AS_WRITTEN)
        sub.set_defaults(command=command, refuse=sub.error)
        add_options(name, partial(_group, sub))
    return parser


def _group(parser: argparse.ArgumentParser, title: str) -> Callable:
    return (parser.add_argument_group(title) if title else parser).add_argument


def _folder(options: argparse.Namespace) -> Path:
    return paths.results_folder(options.results, options.profile)


def _distill(options: argparse.Namespace) -> int:
    from bench import distill

    return distill.run(options, print)


def _sizes(options: argparse.Namespace) -> None:
    from bench.report.paper.full_sizes import paper_sizes

    rows = paper_sizes()
    if options.json:
        print(json.dumps(rows, indent=1))
        return
    header = "dataset", "student", "parameters", "ours, MB", "paper, MB", "difference"
    lines = []
    for row in rows:
        difference = 100 * (row["size_mb"] / row["paper_mb"] - 1)
        figures = f"{row['parameters']:,}", f"{row['size_mb']:.3f}", f"{row['paper_mb']:g}", f"{difference:+.2f} %"
        lines.append([row["dataset"], row["student"], *figures])
    print("Student sizes: the paper's and ours (MB = parameters × 4 / 2^20)")
    print(plain_table(header, lines, text=(0, 1)))


def _prepare(options: argparse.Namespace) -> None:
    from bench.kit.progress import Progress
    from bench.prepare import prepare

    with closing(Progress.on_stderr()) as progress:
        for name in options.dataset:
            # Flushed, so that licence and disk space show before anything starts, also where the output is a pipe.
            prepare(name, options.archives, options.subset, partial(print, flush=True), progress.task)


def _cache(options: argparse.Namespace) -> None:
    from bench.features import cache

    chosen = options.names or options.unused is not None or options.all
    if (options.action == "prune") != bool(chosen):
        raise UserError("cache prune needs names, --unused DAYS or --all; cache alone takes none of them")
    print("\n".join(cache.prune(options.names, options.unused)) if chosen else cache.table())


def _export(options: argparse.Namespace) -> None:
    from bench.export import export, named

    cases = _cases(options)
    is_there = options.case in {case.id for case in cases}
    if not is_there and (other := matrix.elsewhere(matrix.load(options.matrix), options.case)):
        raise UserError(other)
    case = named(cases, options.case)
    print(
        *export(case, _folder(options), options.to, options=for_pytest(options), classify=options.classifier), sep="\n"
    )
    _log(options, [case], options.to)


def _log(options: argparse.Namespace, cases: Iterable[Case], export: Path | None = None) -> None:
    """Send the records of cases to the trackers that were asked for."""
    if options.log:
        from bench import report, trackers
        from bench.kit.progress import Progress

        records = [entry for _, entry in report.chosen(_folder(options), tuple(cases))[0] if entry]
        with closing(Progress.on_stderr()) as progress:
            files = () if export else report.files(_folder(options))
            lines = trackers.log(options.log, _folder(options), options.profile, records, progress.task, files, export)
        print(*lines, sep="\n")


def _compare(options: argparse.Namespace) -> int:
    from bench.results.compare import compare_paths
    from bench.results.verdict import append_to_step_summary

    verdict = compare_paths(options.before, options.now, matrix.load(options.matrix).tolerances)
    if complaint := append_to_step_summary(verdict.markdown()):
        print(complaint, file=sys.stderr)
    return _decided(verdict)


def _results(options: argparse.Namespace) -> int:
    from bench.results import contributed, leaderboard

    if (options.action == "add") != bool(options.run):
        raise UserError("results add needs the folder of a run; check and table take none")
    if options.action == "add":
        path, count = contributed.add(options.run, options.name, contributed.FOLDER)
        print(f"{paths.shown(path)}: {counted(count, 'case')}")
    runs, faults = contributed.read_all(contributed.FOLDER)
    if options.action == "check":
        lines = [*chain(*runs.values())]
        faults = faults or leaderboard.stale(runs, contributed.FOLDER)
        if options.retrain and not faults:
            from bench.run import again

            faults = again.retrain(lines, options.retrain, matrix.load().tolerances, print)
        if not faults:
            print(f"{counted(len(lines), 'case')} of {counted(len(runs), 'run')}: whole and comparable")
    elif not faults:
        print(*map(paths.shown, leaderboard.write(runs, contributed.FOLDER)), sep="\n")
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


def _decided(verdict) -> int:
    """Print a verdict; returns its exit code."""
    print(verdict.text())
    return 0 if verdict.passed else 1


def _cases(options: argparse.Namespace) -> tuple:
    seeds, controls = matrix.chosen(options.seeds, options.controls)
    return matrix.cases(matrix.load(options.matrix), options.profile, options.matrix, seeds, controls)


def _plan(options: argparse.Namespace) -> None:
    cases = tuple(replace(case, precision=options.precision) for case in _cases(options))
    if options.json:
        print(json.dumps(preview.listed(cases, _folder(options)), indent=1))
    else:
        workers = options.workers or min(slots("auto"), len(by_run(cases)))
        print(preview.describe(cases, _folder(options), options.profile, workers, partial(_trials, workers)))


def _trials(workers: int, cases: list[Case]):
    from bench.kit.progress import Progress
    from bench.run.estimate import trials

    with closing(Progress.on_stderr()) as progress, progress.task("trial steps of what was never run") as advance:
        return trials(cases, advance, workers=workers)


def _status(options: argparse.Namespace) -> None:
    print(status.describe(_cases(options), _folder(options)))


def _report(options: argparse.Namespace) -> int:
    from bench import report
    from bench.results import baseline, record

    cases = _cases(options)
    folder, published = _folder(options), REPORTS / options.profile
    if options.publish:
        report.require_apart(folder, published)  # before anything is written there
    if not (folder / record.PUBLISHED).exists() and not any(folder.glob("records/*.json")):
        raise UserError(f"{folder} has no records of a run; --results DIR, or --profile NAME, says where they are")
    ids, kept = {case.id for case in cases}, record.read_all(folder)[0].keys()
    if kept and ids.isdisjoint(kept):
        raise UserError(
            f"profile '{options.profile}' has none of the cases in {folder}, such as {min(kept)}: repeat the --profile, --matrix "
            "and --seeds of their run"
        )
    verdict = None
    if options.baseline:
        before = baseline.read(options.baseline, options.profile)
        verdict = report.against_baseline(folder, cases, before, matrix.load(options.matrix).tolerances)
    also = [form for form in report.FORMS if getattr(options, form)]
    print(*report.write(folder, cases, options.profile, verdict, also, report.chosen_by(options), older=True), sep="\n")
    _log(options, cases)
    if options.publish:
        print(*report.publish(folder, published, ids), sep="\n")
    if others := kept - ids:
        print(f"records of other cases than the chosen ones in {folder}, which are left out: {len(others)}")
    return _decided(verdict) if verdict else 0


COMMANDS = {
    "distill": (_distill, "your own images: a teacher into a student, with report and export"),
    "prepare": (_prepare, "fetch, check and decode real datasets"),
    "plan": (_plan, "what would run, what is reusable, and how long it may take"),
    "status": (_status, "which cases are queued, running (where, since when), done or failed"),
    "sizes": (_sizes, "the paper's eleven sizes beside ours"),
    "report": (_report, "write the report again, publish it, or compare it with a baseline"),
    "compare": (_compare, "compare one run or baseline with another"),
    "results": (_results, "contribute a run, validate contributions, rebuild the leaderboard"),
    "export": (_export, "a trained student with its model card, to be loaded elsewhere"),
    "cache": (_cache, "list stored features, or delete some"),
}

if __name__ == "__main__":
    sys.exit(main())
