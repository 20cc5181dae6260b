"""The commands beside pytest: prepare, plan, sizes, report, compare, export, cache, speed.

python -m bench prepare DATASET ...       fetch real datasets (--archives DIR: take them from there)
python -m bench plan --profile pocket     what would run, what is reusable, how long it may take
python -m bench sizes [--json]            the paper's eleven sizes beside ours
python -m bench report [--publish]        write the report again; --publish copies it into reports/PROFILE
python -m bench report --baseline FILE    also compare the results with a baseline; that decides the exit code
python -m bench compare A B               compare one run or baseline with another
python -m bench export CASE --to DIR      a trained student with its model card, to be loaded elsewhere
python -m bench cache [prune]             stored features: list or delete
python -m bench speed --teacher dino      what the store costs and saves, as ratios of one run
"""

import argparse
import json
import sys
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path

from bench import registry
from bench.data.prepared import is_prepared_kind
from bench.kit import paths
from bench.kit.errors import UserError, shown
from bench.kit.paths import ROOT
from bench.plan import matrix
from bench.plan.case import PRECISIONS
from bench.run import preview

REPORTS = ROOT / "reports"
AS_WRITTEN = argparse.RawDescriptionHelpFormatter
LISTS = """\
Reports count the evaluation images that a pretrained teacher has seen where a list of its
training images lies in the data folder (none is fetched):
  DATASET/seen-by-TEACHER.txt   on each line a file name as in the dataset; for coco, a number
  coco/dataset_coco.json        Karpathy's splits, for blip, which was fine-tuned on two of them"""


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        paths.use(options.data)
        return options.command(options)
    except (UserError, OSError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not type(error).__module__.startswith(("bench.", "teachers")):
            raise  # ours, not the user's
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; the same command goes on where it stopped", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__, formatter_class=AS_WRITTEN)
    commands = parser.add_subparsers(required=True)
    sizes = commands.add_parser("sizes", help="the paper's sizes beside ours")
    sizes.add_argument("--json", action="store_true", help="a list of objects")
    sizes.set_defaults(command=_sizes)
    for name, command, text in (("plan", _plan, "what would run"), ("report", _report, "write the report again")):
        sub = commands.add_parser(name, help=text)
        _add_choice_of_cases(sub)
        sub.set_defaults(command=command)
        if name == "plan":
            sub.add_argument(
                "--precision",
                default="auto",
                choices=PRECISIONS,
                help="the precision that you will give to pytest bench",
            )
        else:
            sub.add_argument(
                "--baseline",
                type=Path,
                metavar="FILE",
                help="also compare the results with this baseline; the comparison decides the exit code",
            )
            sub.add_argument("--html", action="store_true", help="also as one self-contained page")
            sub.add_argument("--csv", action="store_true", help="also all metrics, a line each")
            sub.add_argument("--latex", action="store_true", help="also the tables of gains, for papers")
            sub.add_argument("--publish", action="store_true", help="copy it into reports/PROFILE, to be committed")
    exporting = commands.add_parser("export", help="a trained student with its model card, to be loaded elsewhere")
    exporting.add_argument("case", metavar="CASE", help="a case's id, like shapes-dino-resnet-10ep")
    exporting.add_argument("--to", type=Path, required=True, metavar="DIR", help="a new folder")
    _add_choice_of_cases(exporting)
    exporting.set_defaults(command=_export)
    comparison = commands.add_parser("compare", help="compare one run or baseline with another")
    comparison.add_argument("before", type=Path, metavar="A", help="a results folder, or a baseline's file")
    comparison.add_argument("now", type=Path, metavar="B", help="what is compared with A")
    comparison.add_argument(
        "--matrix", type=Path, default=matrix.DEFAULT, metavar="FILE", help="the matrix.yaml whose tolerances count"
    )
    comparison.set_defaults(command=_compare)
    _add_data_commands(commands)
    for sub in commands.choices.values():
        sub.add_argument("--data", type=Path, metavar="DIR", help="prepared datasets and stored features")
    return parser


def _add_choice_of_cases(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--profile", default="pocket", help="which matrix of matrix.yaml (default: pocket)")
    sub.add_argument("--matrix", type=Path, default=matrix.DEFAULT, metavar="FILE", help="another matrix.yaml")
    sub.add_argument(
        "--results", type=Path, metavar="DIR", help="records, checkpoints and report (default: reports/runs/PROFILE)"
    )
    sub.add_argument("--seeds", metavar="LIST", help="seeds instead of the profile's, like 0,1,2")
    sub.add_argument("--controls", metavar="LIST", help="controls instead of the profile's: all, none or a list")


def _add_data_commands(commands) -> None:
    prepare = commands.add_parser(
        "prepare", help="fetch, check and decode real datasets", epilog=LISTS, formatter_class=AS_WRITTEN
    )
    prepare.add_argument("dataset", nargs="+", choices=[*filter(is_prepared_kind, registry.names("dataset"))])
    prepare.add_argument("--archives", type=Path, metavar="DIR", help="take the archives from here")
    prepare.add_argument("--subset", action="store_true", help="accept fewer images than the official counts")
    prepare.set_defaults(command=_prepare)
    cache = commands.add_parser("cache", help="list stored features, or delete some")
    cache.add_argument("action", nargs="?", choices=["list", "prune"], default="list")
    cache.add_argument("names", nargs="*", metavar="NAME", help="with prune: only these, or all whose names begin so")
    cache.add_argument(
        "--unused", type=_days, metavar="DAYS", help="with prune: only what has not been used for DAYS days"
    )
    cache.add_argument("--all", action="store_true", help="with prune: everything")
    cache.set_defaults(command=_cache)
    speed = commands.add_parser("speed", help="what the feature store costs and saves, as ratios of one run")
    speed.add_argument("--teacher", default="dino", choices=registry.names("teacher"), help="whose pass is timed")
    weights = ["random", "pocket", "pretrained"]
    speed.add_argument("--weights", default="random", choices=weights, help="random (default): nothing is fetched")
    speed.add_argument(
        "--images",
        type=_several,
        metavar="COUNT",
        help="random images (default: 32 on a CPU, 2048 on a GPU; either takes minutes)",
    )
    speed.add_argument("--device", default="auto", metavar="NAME", help="auto (default), cpu, cuda or cuda:N")
    speed.add_argument("--precision", default="auto", choices=PRECISIONS, help="as of pytest bench")
    speed.set_defaults(command=_speed)


def _several(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 8 and 1 < int(text) <= 10**6):
        raise argparse.ArgumentTypeError(f"expected a whole number from 2 to {10**6}, not {shown(text)}")
    return int(text)


def _days(text: str) -> float:
    try:
        days = float(text)
    except ValueError:
        days = -1.0
    if not 0 <= days < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number of days from 0, not {shown(text)}")
    return days


def _folder(options: argparse.Namespace) -> Path:
    return paths.results_folder(options.results, options.profile)


def _sizes(options: argparse.Namespace) -> int:
    from bench.report.paper.full_sizes import paper_sizes

    rows = paper_sizes()
    if options.json:
        print(json.dumps(rows, indent=1))
        return 0
    from rich.console import Console
    from rich.table import Table

    table = Table(title="Student sizes: the paper's and ours (MB = parameters x 4 / 2^20)", box=None)
    for title in ("dataset", "student", "parameters", "ours, MB", "paper, MB", "difference"):
        table.add_column(title, justify="left" if title in ("dataset", "student") else "right")
    for row in rows:
        difference = 100 * (row["size_mb"] / row["paper_mb"] - 1)
        figures = f"{row['parameters']:,}", f"{row['size_mb']:.3f}", f"{row['paper_mb']:g}", f"{difference:+.2f} %"
        table.add_row(row["dataset"], row["student"], *figures)
    Console().print(table)
    return 0


def _prepare(options: argparse.Namespace) -> int:
    from bench.kit.progress import Progress
    from bench.prepare import prepare

    progress = Progress.on_stderr()
    try:
        for name in options.dataset:
            # Flushed, so that licence and disk are told before anything starts also where the output is a pipe.
            prepare(name, options.archives, options.subset, partial(print, flush=True), progress.task)
    finally:
        progress.close()
    return 0


def _cache(options: argparse.Namespace) -> int:
    from bench.features import cache

    chosen = options.names or options.unused is not None or options.all
    if (options.action == "prune") != bool(chosen):
        raise UserError("cache prune needs names, --unused DAYS or --all; cache alone takes none of them")
    print("\n".join(cache.prune(options.names, options.unused)) if chosen else cache.table())
    return 0


def _speed(options: argparse.Namespace) -> int:
    from bench.run import speed

    print(speed.report(options.teacher, options.weights, options.images, options.device, options.precision))
    return 0


def _export(options: argparse.Namespace) -> int:
    from bench.export import export, named

    case = named(_cases(options), options.case)
    for path in export(case, _folder(options), options.to, options=_given(options)):
        print(path)
    return 0


def _compare(options: argparse.Namespace) -> int:
    from bench.results.compare import compare_paths
    from bench.results.verdict import append_to_step_summary

    verdict = compare_paths(options.before, options.now, matrix.load(options.matrix).tolerances)
    if complaint := append_to_step_summary(verdict):
        print(complaint, file=sys.stderr)
    return _decided(verdict)


def _decided(verdict) -> int:
    """Tell a verdict; returns the exit code that it decides."""
    print(verdict.text())
    return 0 if verdict.passed else 1


def _given(options: argparse.Namespace) -> list[str]:
    """The options that choose the same cases for pytest."""
    chosen = {name: getattr(options, name) for name in ("profile", "matrix", "results", "seeds", "controls", "data")}
    defaults = {"profile": "pocket", "matrix": matrix.DEFAULT}
    given = [(f"--{name}", str(value)) for name, value in chosen.items() if value not in (None, defaults.get(name))]
    return list(chain(*given))


def _cases(options: argparse.Namespace) -> tuple:
    seeds, controls = matrix.chosen(options.seeds, options.controls)
    return matrix.cases(matrix.load(options.matrix), options.profile, options.matrix, seeds, controls)


def _plan(options: argparse.Namespace) -> int:
    cases = tuple(replace(case, precision=options.precision) for case in _cases(options))
    print(preview.describe(cases, _folder(options), options.profile))
    return 0


def _report(options: argparse.Namespace) -> int:
    from bench import report
    from bench.results import record

    cases = _cases(options)
    folder, published = _folder(options), REPORTS / options.profile
    if options.publish:
        report.require_apart(folder, published)  # before anything is written there
    verdict = None
    if options.baseline:
        verdict = report.against_baseline(folder, cases, options.baseline, matrix.load(options.matrix).tolerances)
    print(report.write(folder, cases, options.profile, verdict))
    if options.html:
        print(report.html(folder, cases, options.profile, verdict))
    if options.csv:
        print(report.csv(folder, cases))
    if options.latex:
        print(report.latex(folder, cases))
    if options.publish:
        ids = {case.id for case in cases}
        for written in report.publish(folder, published, ids):
            print(written)
        if others := record.read_all(folder)[0].keys() - ids:
            print(f"{len(others)} records in {folder} are of other cases than the chosen ones, and were left out")
    return _decided(verdict) if verdict else 0


if __name__ == "__main__":
    sys.exit(main())
