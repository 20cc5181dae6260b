"""CSV: it reads back as the records. LaTeX: balanced and escaped, with a table for each teacher and comments that say what the teachers are."""

import csv
import io
import re
import shutil
import subprocess
from dataclasses import replace

import pytest

from bench import controls
from bench.metrics import METRICS
from bench.plan import matrix
from bench.report import forms
from bench.report.content import Report
from tests.bench.made import made

CASES = matrix.cases(matrix.load(), "pocket", seeds=(0, 1), controls=("untrained", "teacher", "no-distillation"))
MINE = [case for case in CASES if case.dataset == "shapes" and case.student in ("projection", "densenet")]


def latex(cases):
    return forms.latex(Report("pocket", cases))


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
    assert forms.escaped(text) == expected


def test_it_is_balanced_plain_and_has_a_table_for_each_teacher():
    cases = [(case, made(case, 60.0 + case.seed / 3)) for case in MINE]
    cases[0][1].status, cases[1][1].status = "oom", "oom"
    text = latex(cases)
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
def test_it_compiles_and_fits_the_page(tmp_path):
    whole = matrix.cases(matrix.load(), "pocket", seeds=(0, 1), controls=("untrained", "teacher", *controls.TRAINED))
    (tmp_path / "report.tex").write_text(latex([(case, made(case, 60.0 + 3 * case.seed)) for case in whole]))
    head, tail = r"\documentclass{article}\usepackage{booktabs}\begin{document}", r"\end{document}"
    (tmp_path / "main.tex").write_text(rf"{head}\input{{report.tex}}{tail}")
    words = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "main.tex"]
    ran = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0 and "Overfull" not in ran.stdout, ran.stdout


def test_a_line_has_mean_deviation_gains_and_deployed_size():
    cases = [case for case in MINE if (case.teacher, case.student, case.epochs) == ("dino", "projection", 10)]
    accuracy = {None: (60.0, 60.4), "no-distillation": (61.0, 60.4)}
    text = latex([(case, made(case, accuracy[case.control][case.seed], untrained=50.0)) for case in cases])
    # By hand: mean 60.2, deviation 0.4 / sqrt(2); gains 10 and 10.4 (their mean is 36 of its standard errors from 0, the
    # 97.5 % quantile of t for one degree of freedom is 12.7), and -1 and 0 (mean -0.5, deviation sqrt(1/2)).
    assert r"projection & 10 & $60.2 \pm 0.3$ & {\boldmath$+10.2 \pm 0.3$} & $-0.5 \pm 0.7$ & 1.75 \\" in text
    assert r"dino itself & -- & 65.0 & -- & -- & -- \\" in text
    assert "% Pocket teachers" in text and "(pocket weights)" in text and "over 2 seeds" in text


def test_a_significant_loss_is_not_bold():
    cases = [case for case in MINE if (case.teacher, case.student, case.epochs) == ("dino", "projection", 10)]
    text = latex([(case, made(case, (60.0, 60.4)[case.seed], untrained=70.4)) for case in cases])
    # By hand: -10.4 and -10 (mean -10.2, deviation 0.4 / sqrt(2)), as far from 0 as the gain above.
    assert r"& $-10.2 \pm 0.3$ &" in text


def test_its_comments_name_the_kinds_of_teachers():
    cases = [(MINE[0], made(MINE[0])), (replace(MINE[0], dataset="tiny-imagenet"), made(MINE[0]))]
    head = " ".join(line.removeprefix("% ") for line in latex(cases).splitlines() if line.startswith("%"))
    for text in ("On shapes: Pocket teachers: small models that were trained on generated", "On tiny-imagenet: Pocket"):
        assert text in head


def test_it_reads_back_as_the_finished_records():
    """A metric that was not measured here, or not at all, is empty; a case without a result has no line."""
    cases = [(case, made(case, 60.0 + case.seed / 3)) for case in MINE]
    cases[0][1].metrics["energy_mj_per_image"] = None
    cases[1][1].set_time("epoch_seconds", 3.0, "another machine")
    cases[2][1].status, cases[3] = "failed", (MINE[3], None)
    text, back = forms.csv(Report("pocket", cases)), {}
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
    text = forms.csv(Report("pocket", [(MINE[0], made(MINE[0]))]))
    lines = text.split("\r\n")
    assert lines[-1] == "" and "\n" not in text.replace("\r\n", "")
    assert lines[0] == "id,dataset,teacher,student,loss,control,epochs,seed,metric,value,unit,direction"
