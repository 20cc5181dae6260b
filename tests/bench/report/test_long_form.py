"""CSV: it reads back as the records."""

import csv
import io

from bench.metrics import METRICS
from bench.plan import matrix
from bench.report import long_form
from tests.bench.made import made

CASES = matrix.cases(matrix.load(), "pocket", seeds=(0, 1), controls=("no-distillation",))
MINE = [case for case in CASES if case.dataset == "shapes" and case.student in ("projection", "densenet")]


def test_it_reads_back_as_the_finished_records():
    """A metric that was not measured here, or not at all, is empty; a case without a result has no line."""
    cases = [(case, made(case, 60.0 + case.seed / 3)) for case in MINE]
    cases[0][1].metrics["energy_mj_per_image"] = None
    cases[1][1].set_time("epoch_seconds", 3.0, "another machine")
    cases[2][1].status, cases[3] = "failed", (MINE[3], None)
    text, back = long_form.csv(cases), {}
    for line in csv.DictReader(io.StringIO(text, newline=""), strict=True):
        metric = METRICS[line["metric"]]
        assert (line["unit"], line["direction"]) == (metric.unit, metric.better)
        key = line["id"], line["dataset"], line["teacher"], line["student"], line["loss"], line["control"]
        value = float(line["value"]) if line["value"] else None
        back.setdefault((*key, int(line["epochs"]), int(line["seed"])), {})[metric.name] = value
    assert back == {
        (c.id, c.dataset, c.teacher, c.student, c.loss, c.control or "", c.epochs, c.seed): record.metrics
        for c, record in [*cases[:2], *cases[4:]]
    }


def test_it_has_the_form_of_rfc_4180():
    text = long_form.csv([(MINE[0], made(MINE[0]))])
    lines = text.split("\r\n")
    assert lines[-1] == "" and "\n" not in text.replace("\r\n", "")
    assert lines[0] == "id,dataset,teacher,student,loss,control,epochs,seed,metric,value,unit,direction"
