"""The whole report: its sections in order, and what each section needs is one function of the report."""

import re
from dataclasses import replace

import pytest
import torch
from markdown_it import MarkdownIt

from bench.measure.in_batch import in_batch_accuracy
from bench.measure.retrieval import match_ranks
from bench.plan import matrix
from bench.report import pages
from bench.report.content import Report
from bench.report.pages import KNOWN, WEIGHTS, label
from bench.results.verdict import Verdict
from tests.bench.made import made

CASES = matrix.cases(matrix.load(), "pocket")
CASE = CASES[0]


@pytest.fixture(scope="module")
def text():
    cases = [(case, None if "blip-cbam" in case.id else made(case)) for case in CASES]
    return pages.page(Report("pocket", cases, ("records/x.json is not a usable record",)))


def test_the_label_and_the_summary_come_first_and_long_details_are_folded(text):
    headings = [line for line in text.splitlines() if line.startswith("## ")]
    assert headings[0] == "## Summary" and text.index("**Pocket teachers**") < text.index("## Summary")
    for name in ("The paper's claims", "The paper's tables", "Full size", "Protocol"):
        assert re.search(rf"\n## {name}\n\n<details><summary>[^\n]+</summary>\n\n", text)
    assert text.count("<details>") == text.count("</details>") and headings[-1] == "## Protocol"


def test_a_section_is_a_function_of_the_report_and_one_line(monkeypatch):
    def mine(report):
        return f"## Mine\n\n{report.profile}: {len(report.done)} of {len(report.students)}"

    monkeypatch.setattr(pages, "SECTIONS", (*pages.SECTIONS, mine, lambda report: ""))
    assert pages.page(Report("pocket", [(CASE, made(CASE))])).endswith("\n\n## Mine\n\npocket: 1 of 1\n")


def test_a_student_that_did_not_run_has_no_row(text):
    blip = text.split("## blip on scenes")[1].split("\n## ")[0]
    assert "| cbam |" not in blip and "| densenet |" in blip


def test_a_teacher_none_of_whose_students_ran_has_no_section():
    page = pages.page(Report("pocket", [(CASE, made(CASE)), *((case, None) for case in CASES if "clip" in case.id)]))
    assert "## dino on shapes" in page and "## clip on scenes" not in page


def test_what_did_not_run_and_what_cannot_be_read_is_named(text):
    part = text.split("## Failed and missing cases")[1]
    assert f"{sum('blip-cbam' in case.id for case in CASES)} cases have not run" in part
    assert "* records/x.json is not a usable record" in part


def test_a_message_is_shown_as_it_is_and_not_as_markup():
    failed = made(CASE, status="failed", message="expected <class 'int'> | got *a*\n  [here](x)")
    part = pages.page(Report("pocket", [(CASE, failed)])).split("## Failed and missing cases")[1]
    page = MarkdownIt("commonmark").enable("table").render(part)
    assert "expected &lt;class 'int'&gt; | got *a* [here](x)</td>" in page


def test_the_verdict_on_the_baseline_is_a_section_of_its_own():
    verdict = Verdict(of=1, compared=1)
    verdict.add("worse", CASE.id, "fell by too much", metric="knn_top1", before=80.0, now=70.0, tolerance="5")
    part = (
        pages.page(Report("pocket", [(CASE, made(CASE))], verdict=verdict)).split("## Baseline\n")[1].split("\n## ")[0]
    )
    assert "FAILED" in part and CASE.id in part and "knn" in part and "|:--" in part


def test_a_perfect_paper_accuracy_is_promised_only_to_models_that_tell_images_apart():
    # Ties count against a model: one that gives every image the same embedding has its match last of a batch.
    same = torch.ones(70, 4)
    assert in_batch_accuracy(match_ranks(same, same, torch.arange(70), torch.arange(70)), 70, 64) == 0
    text = pages.page(Report("pocket", [(case, made(case)) for case in CASES], pictures=("in-batch",)))
    assert "any model" not in text
    promises = [part for part in re.split(r"\. |\n", text) if re.search(r"100 %|scores 100", part)]
    assert len(promises) == 4 and all("gives different images different embeddings" in part for part in promises)


def test_teachers_of_every_kind_are_named():
    cases = {case.dataset: case for case in matrix.cases(matrix.load(), "pocket")}
    shapes, scenes = ((cases[name], None) for name in ("shapes", "scenes"))
    real, full = replace(cases["shapes"], dataset="tiny-imagenet"), replace(cases["shapes"], teacher="beit")
    assert label([shapes, scenes]) == WEIGHTS["pocket"]
    assert label([(real, made(cases["shapes"]))]) == WEIGHTS["pocket on real images"]
    assert label([shapes, scenes, (real, None)]) == (
        f"On shapes and scenes: {WEIGHTS['pocket']} On tiny-imagenet: {WEIGHTS['pocket on real images']}"
    )
    full = replace(full, weights="pretrained")
    assert label([(full, None), (full, None)]) == f"{WEIGHTS['pretrained']} {KNOWN['beit']}"
