"""The report: what is measured stands beside what was printed, and failures are shown as what they were."""

import re
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from markdown_it import MarkdownIt
from PIL import Image

from bench import report
from bench.__main__ import main
from bench.measure.in_batch import in_batch_accuracy
from bench.measure.retrieval import match_ranks
from bench.plan import matrix
from bench.report import pages
from bench.report.paper import tables
from bench.results import baseline, record
from bench.results.verdict import Verdict
from bench.run.summary import Ending
from tests.bench.made import made

CASES = matrix.cases(matrix.load(), "pocket")


@pytest.fixture(scope="module")
def text():
    failed = {
        "scenes-clip-resnet-5ep": "oom",
        "scenes-clip-densenet-5ep": "failed",
        "shapes-beit-attention-10ep": "crashed",
    }
    chosen = [(case, made(case, status=failed.get(case.id, "done"))) for case in CASES if "blip-cbam" not in case.id]
    chosen += [(case, None) for case in CASES if "blip-cbam" in case.id]
    return pages.page("pocket", chosen, ["records/x.json is not a usable record"], None, [])


def rows_of(text, heading):
    part = text.split(f"### {heading}")[1].split("\n#")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in part.splitlines() if line.startswith("|")]


def test_the_papers_first_table_has_its_own_layout_and_printed_values(text):
    rows = rows_of(text, "Figure 1")
    assert rows[0][1:3] == ["SimpleProjection CLIP", "SimpleProjection BLIP"] and len(rows[0]) == 13
    printed = [row for row in rows if row[0] == "Accuracy, printed (%)"]
    assert printed[0][1:] == [
        "72.08",
        "29.76",
        "72.3",
        "48.3",
        "72",
        "57.12",
        "72.42",
        "48.64",
        "59.06",
        "33.9",
        "54.12",
        "41.04",
    ]
    assert printed[1][1:] == [
        "72.42",
        "28.2",
        "72.72",
        "42.42",
        "72",
        "34.8",
        "72.34",
        "66.34",
        "64.62",
        "51.24",
        "56.98",
        "56.82",
    ]
    measured = next(row for row in rows if row[0] == "Paper's accuracy, measured (%)")
    assert measured[1] == "97.3"


def test_the_papers_second_table_keeps_its_out_of_memory(text):
    rows = rows_of(text, "Figure 2")
    printed = [row for row in rows if row[0] == "Accuracy, printed (share)"]
    assert printed[0][-4:] == ["Out of Memory", "0.7150", "Out of Memory", "0.7470"]
    assert rows[0][7] == "CBAM DINO" and printed[0][7] == "–"


def test_failures_are_shown_as_what_they_were_and_never_blank(text):
    assert "out of memory" in text and "crashed" in text and "not run" in text
    measured = next(row for row in rows_of(text, "Figure 1") if row[0] == "Paper's accuracy, measured (%)")
    assert "" not in measured and "out of memory" in measured and "failed" in measured
    assert "records/x.json is not a usable record" in text


def test_it_says_what_the_teachers_are(text):
    assert "Pocket teachers" in text and "say nothing about the full-size models" in text


def test_the_full_size_table_has_head_sizes_and_what_is_deployed(text):
    part = text.split("## Full size")[1]
    line = next(row for row in part.splitlines() if row.startswith("| coco | projection") and "clip" in row)
    assert "262,656" in line and "1.002" in line
    assert 330 < float(line.split("|")[-3].replace(",", "")) < 340
    assert re.search(r"\| tiny-imagenet \| resnet \| 11,275,200 \| 43.011 \| 43.03 \|", part)


def test_a_record_of_another_configuration_is_not_shown_as_a_result(tmp_path):
    record.write(made(CASES[0], fingerprint="another"), tmp_path)
    text = report.write(tmp_path, CASES[:2], "pocket").read_text()
    assert "0 of 2 cases are done" in text


def test_seeds_are_averaged_in_the_papers_table():
    cases = matrix.cases(matrix.load(), "pocket", seeds=(0, 1))
    chosen = [(case, made(case, metrics={"paper_accuracy": 90.0 + 4 * case.seed})) for case in cases]
    rows = rows_of(pages.page("pocket", chosen, [], None, []), "Figure 1")
    assert next(row for row in rows if row[0] == "Paper's accuracy, measured (%)")[1:] == ["92.0"] * 12


def test_losses_that_are_compared_are_not_averaged_into_the_papers_table():
    chosen = [(case, made(case)) for case in matrix.cases(matrix.load(), "losses")]
    rows = rows_of(pages.page("losses", chosen, [], None, []), "Figure 1")
    short, long = (dict(zip(rows[0], row, strict=True)) for row in rows if "Paper's accuracy" in row[0])
    # The profile has densenet from clip for ten epochs.
    assert {title for title, cell in long.items() if cell == "several losses"} == {"DenseNet-based CLIP"}
    assert {*short.values(), *long.values()} >= {"not run"} and "several losses" not in short.values()
    assert "97.3" not in {*short.values(), *long.values()}


def test_a_perfect_paper_accuracy_is_promised_only_to_models_that_tell_images_apart():
    # Ties count against a model: one that gives every image the same embedding has its match last of a batch.
    same = torch.ones(70, 4)
    assert in_batch_accuracy(match_ranks(same, same, torch.arange(70), torch.arange(70)), 70, 64) == 0
    text = pages.page("pocket", [(case, made(case)) for case in CASES], [], None, ["in-batch.svg", "in-batch"])
    assert "any model" not in text
    promises = [part for part in re.split(r"\. |\n", text) if re.search(r"100 %|scores 100", part)]
    assert len(promises) == 4 and all("gives different images different embeddings" in part for part in promises)


def test_of_two_caption_sets_of_a_teacher_the_papers_table_has_the_papers():
    cases = [case for case in matrix.cases(matrix.load(), "pocket") if case.dataset == "scenes"]
    chosen = [(case, made(case, metrics={"paper_accuracy": 80.0})) for case in cases]
    chosen += [(replace(case, dataset="coco"), made(case, metrics={"paper_accuracy": 40.0})) for case in cases]
    rows = rows_of(tables.printed_and_measured(chosen), "Figure 1")
    assert next(row for row in rows if row[0] == "Paper's accuracy, measured (%)")[1:] == ["40.0"] * 12


def test_only_the_picture_of_a_present_result_is_shown(tmp_path):
    (tmp_path / "explain").mkdir()
    for case, changes in ((CASES[0], {}), (CASES[1], {"fingerprint": "another"}), (CASES[2], {"status": "failed"})):
        record.write(made(case, **changes), tmp_path)
        Image.new("RGB", (2, 2)).save(record.picture_of(tmp_path, case.id))
    text = report.write(tmp_path, CASES[:4], "pocket").read_text()
    assert [case.id for case in CASES[:4] if f"(explain/{case.id}.png)" in text] == [CASES[0].id]


def test_a_record_counts_in_whatever_precision_it_ran_but_not_of_another_configuration():
    case = CASES[0]
    fast = replace(case, precision="bf16")
    assert report.current(case, {case.id: made(fast)}) is not None
    assert report.current(case, {case.id: made(replace(fast, learning_rate=0.5))}) is None
    assert report.current(case, {}) is None


def test_the_label_and_the_summary_come_first_and_long_details_are_folded(text):
    headings = [line for line in text.splitlines() if line.startswith("## ")]
    assert headings[0] == "## Summary" and text.index("**Pocket teachers**") < text.index("## Summary")
    for name in ("The paper's claims", "The paper's tables", "Full size", "Protocol"):
        assert re.search(rf"\n## {name}\n\n<details><summary>[^\n]+</summary>\n\n", text)
    assert text.count("<details>") == text.count("</details>")


def test_the_claims_are_words_in_every_column(text):
    lines = text.split("## The paper's claims")[1].splitlines()
    assert lines[next(n for n, line in enumerate(lines) if line.startswith("| claim |")) + 1] == "|:--|:--|:--|:--|:--|"


@pytest.mark.parametrize("name", ["accuracy", "curves", "in-batch"])
def test_each_plot_has_a_light_and_a_dark_look(tmp_path, name):
    record.write(made(CASES[0]), tmp_path)
    text = report.write(tmp_path, CASES[:1], "pocket").read_text()
    assert f'<source media="(prefers-color-scheme: dark)" srcset="{name}-dark.svg">' in text
    assert f'src="{name}.svg">' in text
    light, dark = ((tmp_path / f"{name}{look}.svg").read_bytes() for look in ("", "-dark"))
    assert light != dark and max(len(light), len(dark)) < 300_000


def test_a_message_is_shown_as_it_is_and_not_as_markup():
    case = CASES[0]
    message = "expected <class 'int'> | got *a*\n  [here](x)"
    text = pages.page("pocket", [(case, made(case, status="failed", message=message))], [], None, [])
    page = MarkdownIt("commonmark").enable("table").render(text.split("## Failed and missing cases")[1])
    assert "expected &lt;class 'int'&gt; | got *a* [here](x)</td>" in page


def test_the_verdict_on_the_baseline_is_a_section_of_its_own():
    verdict = Verdict(of=1, compared=1)
    verdict.add("worse", CASES[0].id, "fell by too much", metric="knn_top1", before=80.0, now=70.0, tolerance="5")
    text = pages.page("pocket", [(case, made(case)) for case in CASES], [], verdict, [])
    part = text.split("## Baseline\n")[1].split("\n## ")[0]
    assert "FAILED" in part and CASES[0].id in part and "knn" in part and "|:--" in part


@pytest.fixture
def gate(tmp_path, monkeypatch):
    """``gate(accuracy, precision)`` runs the report command over the ci profile's records, held against a baseline of 60 %."""
    monkeypatch.setattr(report, "PLOTS", {})
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    loaded, file = matrix.load(), tmp_path / "baseline.json"
    cases = matrix.cases(loaded, "ci")

    def run(accuracy, precision="auto"):
        ran = [replace(case, precision=precision) for case in cases]
        ids = [case.id for case in ran]
        baseline.save(file, "ci", tuple(ran), ids, {case.id: made(case, 60.0) for case in ran}, loaded.tolerances)
        for case in ran:
            record.write(made(case, accuracy), tmp_path)
        return main(["report", "--profile", "ci", "--results", str(tmp_path), "--baseline", str(file), "--html"])

    return run


@pytest.mark.parametrize(("accuracy", "code", "word"), [(60.0, 0, "passed"), (50.0, 1, "FAILED")])
def test_the_report_command_holds_kept_records_against_a_baseline_as_a_session_does(
    gate, tmp_path, capsys, accuracy, code, word
):
    assert gate(accuracy) == code
    text, page = (tmp_path / "report.md").read_text(), (tmp_path / "report.html").read_text()
    summary = f"baseline {word}: 12 of its 12 cases compared"
    assert f"## Baseline\n\n**{summary}" in text and f"<strong>{summary}" in page
    assert summary in capsys.readouterr().out
    option = SimpleNamespace(baseline=tmp_path / "baseline.json", save_baseline=None, profile="ci")
    loaded = matrix.load()
    cases = matrix.cases(loaded, "ci")
    ids = [case.id for case in cases]
    Ending(SimpleNamespace(matrix=loaded, cases=cases, ids=ids, folder=tmp_path, option=option))
    assert (tmp_path / "report.md").read_text() == text


def test_kept_records_are_held_in_the_precision_they_ran_in(gate):
    assert gate(60.0, precision="bf16") == 0


def test_cases_without_a_record_fail_a_report_with_a_baseline(gate, tmp_path):
    gate(60.0)
    record.path_of(tmp_path, matrix.cases(matrix.load(), "ci")[0].id).unlink()
    words = ["report", "--profile", "ci", "--results", str(tmp_path), "--baseline", str(tmp_path / "baseline.json")]
    assert main(words) == 1 and "did not run" in (tmp_path / "report.md").read_text()


def test_a_file_that_is_no_baseline_is_refused_before_the_report_is_written(tmp_path, capsys):
    (tmp_path / "report.md").write_text("old")
    assert main(["report", "--results", str(tmp_path), "--baseline", str(tmp_path / "report.md")]) == 2
    assert "is not a usable baseline" in capsys.readouterr().err and (tmp_path / "report.md").read_text() == "old"
