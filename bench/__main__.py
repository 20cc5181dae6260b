"""The commands beside pytest: plan, sizes, report.

python -m bench plan --profile pocket     what would run, what is reusable, how long it may take
python -m bench sizes [--json]            the paper's eleven sizes beside ours
python -m bench report [--publish]        write the report again; --publish copies it into reports/PROFILE
"""

import argparse
import json
import sys
from pathlib import Path

from bench import catalog, matrix, plan
from bench.located import LocatedError


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        return options.command(options)
    except (LocatedError, FileNotFoundError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True)
    sizes = commands.add_parser("sizes", help="the paper's sizes beside ours")
    sizes.add_argument("--json", action="store_true", help="a list of objects")
    sizes.set_defaults(command=_sizes)
    for name, command, text in (("plan", _plan, "what would run"), ("report", _report, "write the report again")):
        sub = commands.add_parser(name, help=text)
        sub.add_argument("--profile", default="pocket")
        sub.add_argument("--matrix", type=Path, default=matrix.DEFAULT, metavar="FILE")
        sub.add_argument("--results", type=Path, metavar="DIR")
        sub.set_defaults(command=command)
        if name == "report":
            sub.add_argument("--publish", action="store_true", help="copy it into reports/PROFILE, to be committed")
    return parser


def _folder(options: argparse.Namespace) -> Path:
    return options.results or catalog.ROOT / "reports" / "runs" / options.profile


def _sizes(options: argparse.Namespace) -> int:
    from bench.fullsize import paper_sizes

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


def _plan(options: argparse.Namespace) -> int:
    cases = matrix.cases(matrix.load(options.matrix), options.profile, options.matrix)
    print(plan.describe(cases, _folder(options), options.profile))
    return 0


def _report(options: argparse.Namespace) -> int:
    from bench import report

    cases = matrix.cases(matrix.load(options.matrix), options.profile, options.matrix)
    path = report.write(_folder(options), cases, options.profile)
    print(path)
    if options.publish:
        for written in report.publish(_folder(options), catalog.ROOT / "reports" / options.profile):
            print(written)
    return 0


if __name__ == "__main__":
    sys.exit(main())
