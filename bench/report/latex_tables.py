r"""The gains of each teacher's students as LaTeX tables, for papers: \usepackage{booktabs}, then \input{report.tex}."""

import re
import textwrap

from bench.controls import CONTROLS
from bench.report.gains import controls_of, gains
from bench.report.labels import label
from bench.report.results import HEADLINE_TITLES, Chosen
from bench.report.seeds import Row, Spread, by_pair, rows
from bench.report.teachers import references

SPECIAL = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}",
    ">": r"\textgreater{}", "|": r"\textbar{}", "–": "--", "±": r"$\pm$", "×": r"$\times$", "→": r"$\rightarrow$",
} | {character: f"\\{character}" for character in "&%$#_{}"}  # fmt: skip
NOTHING = "--"
FIRST = ("student", "epochs", "accuracy")  # columns


def latex(chosen: Chosen) -> str:
    """A floating table for each dataset and teacher, under comments that say what the teachers are."""
    told = textwrap.wrap(label(chosen).replace("**", ""), 110)
    head = "\n".join(f"% {line}" for line in [*told, r"Needs \usepackage{booktabs}."])
    return "\n\n".join([head, *(_table(*pair, found) for pair, found in by_pair(rows(chosen)).items())]) + "\n"


def escaped(text: str) -> str:
    """Text as LaTeX shows it: special characters escaped, in one line."""
    return re.sub("|".join(map(re.escape, SPECIAL)), lambda found: SPECIAL[found[0]], " ".join(text.split()))


def _table(dataset: str, teacher: str, found: list[Row]) -> str:
    students = [row for row in found if row.case.control is None]
    controls = controls_of(found)
    kind = students[0].case.kind
    lines = [
        [escaped(name), NOTHING, *map(escaped, (accuracy, *[NOTHING] * len(controls), deployed))]
        for name, accuracy, deployed in references(teacher, kind, found)
    ]
    own = [_line(row, found, controls) for row in students]
    rule = [r"\midrule"] if lines and own else []
    body = [*map(_joined, lines), *rule, *map(_joined, own)]
    inner = [r"\toprule", *_header(controls), r"\midrule", *body, r"\bottomrule"]
    return "\n".join(
        [
            r"\begin{table}",
            r"  \centering\footnotesize\setlength{\tabcolsep}{3pt}",
            rf"  \caption{{{_caption(dataset, teacher, students)}}}",
            rf"  \label{{tab:{dataset}-{teacher}}}",
            rf"  \begin{{tabular}}{{@{{}}l{'r' * (len(controls) + 3)}@{{}}}}",
            *(f"    {line}" for line in inner),
            r"  \end{tabular}",
            r"\end{table}",
        ]
    )


def _header(controls: list[str]) -> list[str]:
    """The columns' titles; those of the gains stand under one of their own, so that the table fits a page's width."""
    first, last = len(FIRST) + 1, len(FIRST) + len(controls)
    over = [rf"\multicolumn{{{len(controls)}}}{{c}}{{gain over}}"] if controls else []
    titles = [*FIRST, *(CONTROLS[name].title.removeprefix("a ") for name in controls), "MB"]
    rule = [rf"\cmidrule(lr){{{first}-{last}}}"] if controls else []
    return [_joined([*[""] * len(FIRST), *over, "deployed"]), *rule, _joined(map(escaped, titles))]


def _caption(dataset: str, teacher: str, students: list[Row]) -> str:
    """What the figures are, of which teacher, over how many seeds."""
    case = students[0].case
    seeds = max(len(row.found) for row in students)
    spread = (
        rf"mean $\pm$ standard deviation over {seeds} seeds, gains bold where significant (95\,\%, Student's $t$)"
        if seeds > 1
        else "one seed"
    )
    return (
        f"{escaped(f'Students of {teacher} ({case.weights} weights) on {dataset}: {HEADLINE_TITLES[case.kind]}')} in percent, "
        rf"gains in points; {spread}. Deployed is all that must run to embed an image, 1\,MB is $2^{{20}}$ bytes."
    )


def _line(row: Row, among: list[Row], controls: list[str]) -> list[str]:
    accuracy = _figure(row.accuracy()) if row.done else escaped(row.state)
    over, size = gains(row, among), row.metric("deployed_mb")
    gained = [_gain(over[name]) for name in controls]
    return [escaped(row.name), str(row.case.epochs), accuracy, *gained, f"{size.mean:,.2f}" if size else NOTHING]


def _figure(spread: Spread | None, sign: str = "") -> str:
    """A figure in math mode, where a hyphen is a minus."""
    return NOTHING if spread is None else "$" + spread.text(sign=sign).replace("±", r"\pm") + "$"


def _gain(gain: Spread | None) -> str:
    text = _figure(gain, "+")
    return rf"{{\boldmath{text}}}" if gain and gain.is_significant else text


def _joined(cells) -> str:
    return " & ".join(cells) + r" \\"
