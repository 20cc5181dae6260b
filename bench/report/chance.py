"""How many of a report's gains chance alone would make bold, and which remain when all of them are counted."""

from bench.controls import ROWS
from bench.kit.markdown import number, table
from bench.report.content import Report, Row, Spread
from bench.report.gains import controls_of, gain

LEVEL = 0.05
NOTE = (
    "Each bold gain is judged by itself: where nothing was gained, one of forty is bold all the same. *Left* are those that "
    "Holm's correction (Scandinavian Journal of Statistics 6, 1979) leaves significant at 5 % for all gains over the same "
    "control together; three seeds leave few. To confirm a gain, run its case and its control again with other seeds than those "
    "that singled it out: `--seeds 3,4,5,6,7`."
)


def section(report: Report) -> str:
    """A line for each control that gains are over; empty where no two of them have several seeds."""
    lines, names = [], ""
    for control in (row for row in ROWS if row.gain):
        gains = _gains(report, control.name)
        if len(gains) < 2:
            continue
        adjusted = holm([spread.p_value for _, spread in gains])
        bold = [spread.is_significant and spread.mean > 0 for _, spread in gains]
        left = [row for (row, _), is_bold, p in zip(gains, bold, adjusted, strict=True) if is_bold and p < LEVEL]
        counts = str(len(gains)), str(sum(bold)), number(LEVEL / 2 * len(gains)), str(len(left))
        lines.append([control.title, *counts])
        if control.name == "no-distillation" and left:
            of_each = (f"{row.name} of {row.case.teacher} on {row.case.dataset}, {row.case.epochs} ep" for row in left)
            names = f"Left over no distillation: {'; '.join(of_each)}.\n\n"
    if not lines:
        return ""
    header = ["gains over", "compared", "bold", "bold by chance alone", "left"]
    return f"## How many gains are chance\n\n{table(header, lines)}\n\n{names}{NOTE}"


def holm(p_values: list[float]) -> list[float]:
    """p-values adjusted for how many they are (Holm's step-down), in their order."""
    adjusted, highest = [0.0] * len(p_values), 0.0
    by_size = sorted(range(len(p_values)), key=p_values.__getitem__)
    for rank, place in enumerate(by_size):
        highest = max(highest, (len(p_values) - rank) * p_values[place])
        adjusted[place] = min(1.0, highest)
    return adjusted


def _gains(report: Report, control: str) -> list[tuple[Row, Spread]]:
    """The students' gains over one control that have several seeds."""
    gains = [
        (row, gain(row, control, rows))
        for rows in report.pairs.values()
        if control in controls_of(rows)
        for row in rows
        if row.case.control is None and row.done
    ]
    return [(row, spread) for row, spread in gains if spread and spread.count > 1]
