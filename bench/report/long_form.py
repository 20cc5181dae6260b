"""The records as a table in long form, for spreadsheets and for one's own plots: a line for each case and metric."""

import io
from csv import writer

from bench.metrics import METRICS
from bench.report.results import Chosen, is_done

HEADER = (
    "id", "dataset", "teacher", "student", "loss", "control", "epochs", "seed", "metric", "value", "unit", "direction"
)  # fmt: skip


def csv(cases: Chosen) -> str:
    """CSV by RFC 4180, with a header. Values are as exact as in the records, empty where a metric was not measured
    or, being a time, was measured by another machine than the record's own.

    ``control`` is empty for students themselves; ``direction`` is what is better: "higher", "lower" or, of what must
    not change, "equal". Cases without a result have no lines.
    """
    text = io.StringIO()
    lines = writer(text, lineterminator="\r\n")
    lines.writerow(HEADER)
    for case, record in cases:
        if not is_done(record):
            continue
        facts = (case.id, case.dataset, case.teacher, case.student, case.loss, case.control, case.epochs, case.seed)
        # None is written as nothing, and a number so that it reads back as the same.
        lines.writerows(
            (*facts, name, value, METRICS[name].unit, METRICS[name].better) for name, value in record.metrics.items()
        )
    return text.getvalue()
