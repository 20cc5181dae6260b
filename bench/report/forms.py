r"""Other forms of a report: the records as CSV, and the gains as LaTeX: \usepackage{booktabs}, then \input{report.tex}."""

import io
import textwrap
from csv import writer

from bench.metrics import HEADLINE_TITLES, METRICS
from bench.report.content import Report, Row, Spread
from bench.report.gains import controls_of, gain
from bench.report.pages import label
from bench.report.teachers import references

HEADER = (
    "id", "dataset", "teacher", "student", "loss", "control", "epochs", "seed", "metric", "value", "unit", "direction"
)  # fmt: skip
SPECIAL = str.maketrans({
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}",
    ">": r"\textgreater{}", "|": r"\textbar{}", "–": "--", "±": r"$\pm$", "×": r"$\times$", "→": r"$\rightarrow$",
} | {character: f"\\{character}" for character in "&%$#_{}"})  # fmt: skip
# The gains stand under a title of their own, so that the table fits a page's width.
TABLE = r"""\begin{table}
  \centering\footnotesize\setlength{\tabcolsep}{3pt}
  \caption{Students of %(teacher)s (%(weights)s weights) on %(dataset)s: %(headline)s in percent, gains in points; %(spread)s. Deployed is all that must run to embed an image, 1\,MB is $2^{20}$ bytes.}
  \label{tab:%(name)s}
  \begin{tabular}{@{}l%(columns)s@{}}
    \toprule
     &  &  & \multicolumn{%(gains)d}{c}{gain over} & deployed \\
    \cmidrule(lr){4-%(last)d}
    %(lines)s
    \bottomrule
  \end{tabular}
\end{table}"""
SEVERAL = (
    r"mean $\pm$ standard deviation over %d seeds, gains bold where above 0 and significant (95\,\%%, Student's $t$)"
)


def csv(report: Report) -> str:
    """CSV by RFC 4180, with a header. Values are as exact as in the records, empty where a metric was not measured
    or, being a time, was measured by another machine than the record's own.

    ``control`` is empty for students themselves; ``direction`` is what is better: "higher", "lower" or, of what must
    not change, "equal". Cases without a result have no lines.
    """
    text = io.StringIO()
    lines = writer(text, lineterminator="\r\n")
    lines.writerow(HEADER)
    for case, record in report.done:
        facts = (case.id, case.dataset, case.teacher, case.student, case.loss, case.control, case.epochs, case.seed)
        # None is written as nothing, and a number so that it reads back as the same.
        lines.writerows(
            (*facts, name, value, METRICS[name].unit, METRICS[name].better) for name, value in record.metrics.items()
        )
    return text.getvalue()


def latex(report: Report) -> str:
    """A floating table for each dataset and teacher, under comments that say what the teachers are."""
    comments = [*textwrap.wrap(label(report.cases).replace("**", ""), 110), r"Needs \usepackage{booktabs}."]
    tables = [_table(*pair, rows) for pair, rows in report.pairs.items()]
    return "\n\n".join(["\n".join(f"% {line}" for line in comments), *tables]) + "\n"


def escaped(text: str) -> str:
    """Text as LaTeX shows it: special characters escaped, in one line."""
    return " ".join(text.split()).translate(SPECIAL)


def _table(dataset: str, teacher: str, rows: list[Row]) -> str:
    students, controls = [row for row in rows if row.case.control is None], controls_of(rows)
    case, seeds = students[0].case, max(len(row.records) for row in students)
    titles = [name.replace("-", " ").removesuffix(" teacher") for name in controls]
    absent = ["–"] * len(controls)
    own = [[name, "–", accuracy, *absent, mb] for name, accuracy, mb in references(teacher, case.kind, rows)]
    header = ["student", "epochs", "accuracy", *titles, "MB"]
    lines = [_joined(map(escaped, header)), r"\midrule", *(_joined(map(escaped, cells)) for cells in own)]
    lines += [r"\midrule"] * bool(own) + [_joined(_cells(row, rows, controls)) for row in students]
    texts = {"dataset": dataset, "teacher": teacher, "weights": case.weights, "headline": HEADLINE_TITLES[case.kind]}
    return TABLE % {
        **{name: escaped(text) for name, text in texts.items()},
        "name": f"{dataset}-{teacher}", "spread": SEVERAL % seeds if seeds > 1 else "one seed",
        "columns": "r" * (len(header) - 1), "gains": len(controls), "last": 3 + len(controls), "lines": "\n    ".join(lines),
    }  # fmt: skip


def _cells(row: Row, among: list[Row], controls: list[str]) -> list[str]:
    size = row.metric("deployed_mb")
    accuracy = _figure(row.accuracy()) if row.done else escaped(row.state)
    over = [_figure(gain(row, name, among), sign="+") for name in controls]
    return [escaped(row.name), str(row.case.epochs), accuracy, *over, f"{size.mean:,.2f}" if size else "--"]


def _figure(spread: Spread | None, sign: str = "") -> str:
    """A figure in math mode, where a hyphen is a minus; a gain is bold where it is above 0 and significant."""
    if spread is None:
        return "--"
    text = f"${spread.text(sign=sign)}$".replace("±", r"\pm").replace("−", "-")
    return rf"{{\boldmath{text}}}" if sign and spread.is_significant and spread.mean > 0 else text


def _joined(cells) -> str:
    return " & ".join(cells) + r" \\"
