"""CSV and LaTeX: the first reads back as the records, the second is balanced, escaped and says what its teachers are."""

import csv
import dataclasses
import io
import re
import shutil
import subprocess

import pytest
from bench.report.labels import KNOWN, WEIGHTS, label

from bench.controls import TRAINED
from bench.metrics import METRICS
from bench.plan import matrix
from bench.report import latex_tables, long_form
from tests.bench.made import made

CASES = matrix.cases(matrix.load(), "pocket", seeds=(0, 1), controls=("untrained", "teacher", "no-distillation"))
MINE = [case for case in CASES if case.dataset == "shapes" and case.student in ("projection", "densenet")]


def records():
    return [(case, made(case, 60.0 + case.seed / 3)) for case in MINE]


def test_csv_reads_back_as_the_records():
    chosen = records()
    found = {}
    for line in csv.DictReader(io.StringIO(long_form.csv(chosen), newline=""), strict=True):
        assert (line["unit"], line["direction"]) == (METRICS[line["metric"]].unit, METRICS[line["metric"]].better)
        key = line["id"], line["dataset"], line["teacher"], line["student"], line["loss"], line["control"]
        found.setdefault((*key, int(line["epochs"]), int(line["seed"])), {})[line["metric"]] = float(line["value"])
    assert found == {
        (c.id, c.dataset, c.teacher, c.student, c.loss, c.control or "", c.epochs, c.seed): one.metrics
        for c, one in chosen
    }


def test_a_time_that_another_machine_measured_is_empty_in_csv():
    (case, found), *_ = records()
    found.set_time("epoch_seconds", 9.0, "NVIDIA X")
    lines = csv.DictReader(io.StringIO(long_form.csv([(case, found)])))
    values = {line["metric"]: line["value"] for line in lines}
    assert (
        values["epoch_seconds"] == "" and float(values["teacher_pass_seconds"]) == found.metrics["teacher_pass_seconds"]
    )


def test_csv_has_the_form_of_rfc_4180():
    text = long_form.csv(records())
    lines = text.split("\r\n")
    assert lines[-1] == "" and "\n" not in text.replace("\r\n", "")
    assert lines[0] == "id,dataset,teacher,student,loss,control,epochs,seed,metric,value,unit,direction"


def test_what_was_not_measured_is_empty_and_what_is_not_done_has_no_line():
    (first, one), (second, other), *_ = records()
    one.metrics["energy_mj_per_image"], other.status = None, "failed"
    lines = list(csv.DictReader(io.StringIO(long_form.csv([(first, one), (second, other), (MINE[2], None)]))))
    assert {line["id"] for line in lines} == {first.id}
    assert [line["value"] for line in lines if line["metric"] == "energy_mj_per_image"] == [""]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("50 % of a_b & c #1", r"50 \% of a\_b \& c \#1"),
        ("${x}^2~y\\z", r"\$\{x\}\textasciicircum{}2\textasciitilde{}y\textbackslash{}z"),
        ("1 < 2 | 3 ± 4 – 5", r"1 \textless{} 2 \textbar{} 3 $\pm$ 4 -- 5"),
        ("two\nlines", "two lines"),
    ],
)
def test_special_characters_are_escaped(text, expected):
    assert latex_tables.escaped(text) == expected


def test_latex_is_balanced_plain_and_has_a_table_for_each_teacher():
    chosen = records()
    chosen[0][1].status, chosen[1][1].status = "oom", "oom"
    text = latex_tables.latex(chosen)
    body = "\n".join(line for line in text.splitlines() if not line.startswith("%"))
    open_ones = []
    for what, name in re.findall(r"\\(begin|end)\{(\w+)\}", body):
        assert what == "begin" or open_ones.pop() == name
        open_ones += [name] if what == "begin" else []
    assert not open_ones and text.isascii()
    bare = re.sub(r"\\.", "", body)
    assert bare.count("{") == bare.count("}") and bare.count("$") % 2 == 0
    assert not re.search(r"[%#_~]", bare) and bare.count("^") == bare.count("2^{20}")
    tables = body.split(r"\begin{table}")[1:]
    assert len(tables) == 2 and all(r"\toprule" in one and r"\bottomrule" in one for one in tables)
    for one in tables:
        columns = re.search(r"begin\{tabular\}\{@\{\}(\w+)@\{\}\}", one)[1]
        lines = [line for line in one.splitlines() if line.endswith(r"\\")]
        spans = [sum(int(count) - 1 for count in re.findall(r"multicolumn\{(\d)\}", line)) for line in lines]
        cells = [len(re.split(r"(?<!\\)&", line)) for line in lines]
        assert {cell + span for cell, span in zip(cells, spans, strict=True)} == {len(columns)}


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="needs pdflatex and booktabs (texlive-latex-recommended)")
def test_latex_compiles_and_fits_the_page(tmp_path):
    whole = matrix.cases(matrix.load(), "pocket", seeds=(0, 1), controls=("untrained", "teacher", *TRAINED))
    (tmp_path / "report.tex").write_text(
        latex_tables.latex([(case, made(case, 60.0 + 3 * case.seed)) for case in whole])
    )
    head, tail = r"\documentclass{article}\usepackage{booktabs}\begin{document}", r"\end{document}"
    (tmp_path / "main.tex").write_text(rf"{head}\input{{report.tex}}{tail}")
    words = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "main.tex"]
    ran = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0 and "Overfull" not in ran.stdout, ran.stdout


def test_a_line_has_mean_deviation_gains_and_deployed_size():
    cases = [case for case in MINE if (case.teacher, case.student, case.epochs) == ("dino", "projection", 10)]
    accuracy = {None: (60.0, 60.4), "no-distillation": (61.0, 60.4)}
    text = latex_tables.latex([(case, made(case, accuracy[case.control][case.seed], untrained=50.0)) for case in cases])
    # By hand: mean 60.2, deviation 0.4 / sqrt(2); gains 10 and 10.4 (their mean is 36 of its standard errors from 0, the
    # 97.5 % quantile of t for one degree of freedom is 12.7), and -1 and 0 (mean -0.5, deviation sqrt(1/2)).
    assert r"projection & 10 & $60.2 \pm 0.3$ & {\boldmath$+10.2 \pm 0.3$} & $-0.5 \pm 0.7$ & 1.75 \\" in text
    assert r"dino itself & -- & 65.0 & -- & -- & -- \\" in text
    assert "% Pocket teachers" in text and "(pocket weights)" in text and "over 2 seeds" in text


def test_teachers_of_every_kind_are_told():
    scenes = next(case for case in CASES if case.dataset == "scenes")
    real = dataclasses.replace(MINE[0], dataset="tiny-imagenet")
    drawn, both = [(MINE[0], None), (scenes, None)], [(MINE[0], made(MINE[0])), (real, made(MINE[0]))]
    assert label(drawn) == WEIGHTS["pocket"] and label(both[1:]) == WEIGHTS["pocket on real images"]
    assert label([*drawn, (real, None)]) == (
        f"On shapes and scenes: {WEIGHTS['pocket']} On tiny-imagenet: {WEIGHTS['pocket on real images']}"
    )
    full = dataclasses.replace(MINE[0], teacher="beit", weights="pretrained")
    assert label([(full, None), (full, None)]) == f"{WEIGHTS['pretrained']} {KNOWN['beit']}"
    head = " ".join(line.removeprefix("% ") for line in latex_tables.latex(both).splitlines() if line.startswith("%"))
    for told in ("On shapes: Pocket teachers: small models that were trained on generated", "On tiny-imagenet: Pocket"):
        assert told in head
