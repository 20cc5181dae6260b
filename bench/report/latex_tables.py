r"""The gains of each teacher's students as LaTeX tables, for papers: \usepackage{booktabs}, then \input{report.tex}."""

import re
import textwrap

from bench.report.labels import label
from bench.report.results import HEADLINE_TITLES, Chosen
from bench.report.rows import Row, Spread, control_of, rows
from bench.report.teachers import GAINS, references, trained_controls

SPECIAL = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}",
    ">": r"\textgreater{}", "|": r"\textbar{}", "–": "--", "±": r"$\pm$", "×": r"$\times$", "→": r"$\rightarrow$",
} | {character: f"\\{character}" for character in "&%$#_{}"}  # fmt: skip
NOTHING = "--"


def latex(chosen: Chosen) -> str:
    """A floating table for each dataset and teacher, under comments that say what the teachers are."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows(chosen):
        groups.setdefault((row.case.dataset, row.case.teacher), []).append(row)
    told = textwrap.wrap(label(chosen).replace("**", ""), 110)
    head = "\n".join(f"% {line}" for line in [*told, r"Needs \usepackage{booktabs}."])
    return "\n\n".join([head, *(_table(*pair, found) for pair, found in groups.items())]) + "\n"


def escaped(text: str) -> str:
    """Text as LaTeX shows it: special characters escaped, in one line."""
    return re.sub("|".join(map(re.escape, SPECIAL)), lambda found: SPECIAL[found[0]], " ".join(text.split()))


def _table(dataset: str, teacher: str, found: list[Row]) -> str:
    students = [row for row in found if row.case.control is None]
    controls = trained_controls(found)
    gains = ["over untrained", *(GAINS[name] for name in controls)]
    header = ["student", "epochs", "accuracy", *gains, "deployed MB"]
    kind = students[0].case.kind
    lines = [
        [escaped(name), NOTHING, value, *[NOTHING] * (len(gains) + 1)]
        for name, value in references(teacher, kind, found)
    ]
    own = [_line(row, found, controls) for row in students]
    rule = [r"\midrule"] if lines and own else []
    body = [*map(_joined, lines), *rule, *map(_joined, own)]
    inner = [r"\toprule", _joined(map(escaped, header)), r"\midrule", *body, r"\bottomrule"]
    return "\n".join(
        [
            r"\begin{table}",
            r"  \centering",
            rf"  \caption{{{_caption(dataset, teacher, students)}}}",
            rf"  \label{{tab:{dataset}-{teacher}}}",
            rf"  \begin{{tabular}}{{l{'r' * (len(header) - 1)}}}",
            *(f"    {line}" for line in inner),
            r"  \end{tabular}",
            r"\end{table}",
        ]
    )


def _caption(dataset: str, teacher: str, students: list[Row]) -> str:
    """What the figures are, of which teacher, over how many seeds."""
    case = students[0].case
    seeds = max(len(row.found) for row in students)
    spread = (
        rf"mean $\pm$ standard deviation over {seeds} seeds, gains bold beyond their own deviation"
        if seeds > 1
        else "one seed"
    )
    return (
        f"{escaped(f'Students of {teacher} ({case.weights} weights) on {dataset}: {HEADLINE_TITLES[case.kind]}')} in percent, "
        rf"gains in points; {spread}. Deployed is all that must run to embed an image, 1\,MB is $2^{{20}}$ bytes."
    )


def _line(row: Row, among: list[Row], controls: list[str]) -> list[str]:
    cells = [escaped(row.name), str(row.case.epochs)]
    if not row.done:
        return [*cells, escaped(row.state), *[NOTHING] * (len(controls) + 2)]
    gains = [row.gain_over_untrained(), *(row.gain_over(control_of(row, name, among)) for name in controls)]
    size = row.metric("deployed_mb")
    return [*cells, _figure(row.accuracy()), *map(_gain, gains), f"{size.mean:,.2f}" if size else NOTHING]


def _figure(spread: Spread | None, sign: str = "") -> str:
    """A figure in math mode, where a hyphen is a minus."""
    return NOTHING if spread is None else "$" + spread.text(sign=sign).replace("±", r"\pm") + "$"


def _gain(gain: Spread | None) -> str:
    text = _figure(gain, "+")
    return rf"{{\boldmath{text}}}" if gain and gain.exceeds_spread else text


def _joined(cells) -> str:
    return " & ".join(cells) + r" \\"
