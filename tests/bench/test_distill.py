"""The benchmark as a user runs it, on a tiny matrix: records, reuse, resume, plugins, failures."""

import html
import json
import os
import shutil
import subprocess
import sys
from xml.etree import ElementTree

import pytest

from bench import __main__ as command
from bench.kit.files import seal, unseal
from bench.kit.paths import ROOT
from bench.metrics import METRICS
from tests.forking import LITTLE_MEASURED

IDS = [
    f"{dataset}-{teacher}-{student}-{epochs}ep"
    for dataset, teacher in (("shapes", "dino"), ("scenes", "blip"))
    for student in ("projection", "cbam")
    for epochs in (1, 2)
]


SHAPES = [name for name in IDS if name.startswith("shapes")]


def records(folder):
    return {path.stem: json.loads(path.read_text()) for path in (folder / "records").glob("*.json")}


def lengths(folder):
    """Epochs of each record's curve."""
    return {name: len(entry["curve"]) - 1 for name, entry in records(folder).items()}


def results_of(folder):
    """What must not depend on how often a run was interrupted."""
    return {
        name: (
            {key: value for key, value in entry["metrics"].items() if not METRICS[key].machine},
            [{key: value for key, value in point.items() if key != "epoch_seconds"} for point in entry["curve"]],
        )
        for name, entry in records(folder).items()
    }


@pytest.fixture
def copied(finished, tmp_path):
    """A copy of the finished results."""
    return shutil.copytree(finished[0], tmp_path / "results")


def test_every_case_leaves_a_whole_record(finished):
    entries = records(finished[0])
    assert sorted(entries) == sorted(IDS)
    for name, entry in entries.items():
        assert entry["status"] == "done" and entry["id"] == name
        assert entry["case"]["dataset"] == name.split("-")[0]
        assert [point["epoch"] for point in entry["curve"]] == list(range(entry["case"]["epochs"] + 1))
        for metric, value in (entry["metrics"] | entry["teacher"]).items():
            assert (value["unit"], value["direction"]) == (METRICS[metric].unit, METRICS[metric].better)
        own = "knn_top1" if name in SHAPES else "image_to_text_r10"
        assert 0 < entry["metrics"][own]["value"] <= 100 and own in entry["teacher"]
        assert entry["environment"]["software"]["torch"] and entry["environment"]["hardware"]["cores"]
        assert set(entry["environment"]["git"]) == {"commit", "dirty"}


def test_sizes_in_records_are_the_students_and_all_that_must_run(finished):
    projection, cbam = (records(finished[0])[f"shapes-dino-{name}-1ep"]["metrics"] for name in ("projection", "cbam"))
    assert projection["parameters"]["value"] == 96 * 16 + 16
    assert cbam["parameters"]["value"] == 2 * (2 * 96 * 6 + 98) + 96 * 16 + 16
    teacher = 467_808  # counted in the model card
    assert projection["deployed_mb"]["value"] == pytest.approx((teacher + 96 * 16 + 16) * 4 / 2**20)
    assert projection["macs"]["value"] == 96 * 16
    assert projection["deployed_macs"]["value"] > 17 * 4 * 12 * 96 * 96


def test_the_report_and_the_terminal_show_every_case(finished):
    folder, printed = finished
    text = (folder / "report.md").read_text()
    assert "8 of 8 cases are done" in text and "Pocket teachers" in text
    assert "Figure 1: Results on MS COCO-2017" in text and "72.08" in text and "Out of Memory" in text
    assert (folder / "accuracy.svg").read_text().lstrip().startswith("<?xml")
    assert all(name in printed for name in IDS)
    assert "8 passed" in printed


def test_each_case_stands_beside_its_measured_controls(finished):
    for name, entry in records(finished[0]).items():
        headline = "knn_top1" if name.startswith("shapes") else "image_to_text_r1"
        controls = {control: values[headline]["value"] for control, values in entry["controls"].items()}
        assert set(controls) == {"untrained", "shuffled"} | ({"raw-pixels"} if name.startswith("shapes") else set())
        assert controls["untrained"] == pytest.approx(entry["curve"][0][headline])
        assert [batch for batch, _ in entry["in_batch"]["student"]] == [2, 4, 8, 16, 32, 64, 70]
        chance = entry["protocol"]["chance"]
        assert chance[headline] < 10
        # 8 shapes in 8 colours, of which one is guessed, or five.
        assert "scenes" not in name or (chance["zero_shot_top1"], chance["zero_shot_top5"]) == (100 / 64, 500 / 64)


def test_the_teachers_in_batch_accuracy_is_that_of_each_students_batch(run_bench, tiny_matrix, tmp_path):
    smaller = tmp_path / "matrix.yaml"
    smaller.write_text(tiny_matrix.read_text() + "overrides: {cbam: {batch_size: 16}}\n")
    ran = run_bench(tmp_path, "-k", "scenes and 1ep", matrix=smaller)
    assert ran.status == 0, ran.output
    for student, batch in (("projection", 32), ("cbam", 16)):
        entry = records(tmp_path)[f"scenes-blip-{student}-1ep"]
        assert entry["teacher"]["paper_accuracy"]["value"] == dict(entry["in_batch"]["teacher"])[batch]
        assert entry["metrics"]["paper_accuracy"]["value"] == dict(entry["in_batch"]["student"])[batch]


def test_trained_controls_explanations_and_seeds_are_cases_and_pictures(run_bench, tmp_path):
    """One student with all controls and two seeds; then again with pictures, which trains nothing again."""

    def run(*more):
        ran = run_bench(tmp_path, "-k", "shapes and projection and 2ep", "--seeds", "0,1", *more)
        assert ran.status == 0, ran.output
        checkpoints = {path: path.stat().st_mtime_ns for path in tmp_path.glob("checkpoints/*/*.safetensors")}
        return checkpoints, (tmp_path / "report.md").read_text()

    checkpoints, text = run("--controls", "all")
    assert "±" in text and "over a random teacher" in text
    ids = [f"shapes-dino-projection-2ep{ending}" for ending in ("", "-s1")]
    teachers = {name: entry["teacher"].get("knn_top1", {}).get("value") for name, entry in records(tmp_path).items()}
    assert {*teachers} == {
        f"{name}{control}" for name in ids for control in ("", "-no-distillation", "-random-teacher")
    }
    assert teachers[ids[0]] > teachers[f"{ids[0]}-random-teacher"] > 0 and teachers[f"{ids[0]}-no-distillation"] is None
    again, text = run("--explain")
    assert {path.stem for path in (tmp_path / "explain").glob("*.png")} == {*ids}
    assert f"(explain/{ids[0]}.png)" in text and again == checkpoints


def test_rounds_of_run_benchmark_are_epochs(finished):
    folder, _ = finished
    saved = json.loads((folder / "benchmark.json").read_text())
    rounds = {entry["param"]: entry["stats"] for entry in saved["benchmarks"]}
    for name, entry in records(folder).items():
        seconds = [point["epoch_seconds"] for point in entry["curve"][1:]]
        assert rounds[name]["rounds"] == entry["case"]["epochs"]
        assert sorted(rounds[name]["data"]) == pytest.approx(sorted(seconds), rel=0.01, abs=1e-4)


def test_the_reports_of_other_plugins_carry_the_metrics(finished):
    folder, output = finished
    assert "record_property is incompatible" not in output
    suites = ElementTree.parse(folder / "junit.xml")
    saved = {
        one["param"]: one["extra_info"] for one in json.loads((folder / "benchmark.json").read_text())["benchmarks"]
    }
    for name, entry in records(folder).items():
        measured = {metric: one["value"] for metric, one in entry["metrics"].items() if one["value"] is not None}
        facts = {key: entry["case"][key] for key in ("dataset", "teacher", "student", "loss", "epochs", "seed")}
        expected = facts | {"fingerprint": entry["fingerprint"]} | measured
        [test] = suites.findall(f".//testcase[@name='test_distill[{name}]']")
        properties = {each.get("name"): each.get("value") for each in test.iter("property")}
        assert properties == {key: str(value) for key, value in expected.items()}
        assert saved[name] == expected


def test_the_page_of_pytest_html_shows_the_metrics(finished):
    pytest.importorskip("pytest_html")
    folder, _ = finished
    page = html.unescape(html.unescape((folder / "tests.html").read_text()))
    for entry in records(folder).values():
        assert f"{'size_mb':28} {entry['metrics']['size_mb']['value']}\\n" in page


def test_a_second_run_reuses_and_says_so(copied, finished, run_bench):
    def others():
        return {path: path.read_text() for path in (copied / "records").glob("*.json") if path.stem not in IDS[:2]}

    (copied / "records" / f"{IDS[0]}.json").unlink()
    (copied / "records" / f"{IDS[1]}.json").write_text("{")
    before = others()
    ran = run_bench(copied, "-v")
    assert ran.status == 0 and "6 of 8 cases were reused" in ran.output
    assert ran.output.count("REUSED") == 6 and "8 passed" in ran.output
    assert others() == before and results_of(copied) == results_of(finished[0])


def test_a_session_that_only_reuses_imports_neither_torch_nor_hypothesis(finished, tiny_matrix):
    """And so it takes about a second."""
    words = ["bench", "-q", "--matrix", str(tiny_matrix), "--profile", "tiny", "--results", str(finished[0])]
    code = f"import sys, pytest; code = pytest.main({words}); assert code == 0 and not {{'torch', 'hypothesis'}} & {{*sys.modules}}"
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_a_usage_error_leaves_the_report_as_it_was(copied, run_bench):
    before = (copied / "report.md").read_bytes()
    (copied / "records" / f"{IDS[0]}.json").unlink()
    ran = run_bench(copied, "--executor=slurm", "--slurm", "no-such-option=1")
    assert ran.status == 4 and "report:" not in ran.output, ran.output
    assert (copied / "report.md").read_bytes() == before


def test_rerun_none_runs_nothing(run_bench, tmp_path):
    ran = run_bench(tmp_path, "--rerun", "none")
    assert "8 skipped" in ran.output and not records(tmp_path)


def test_without_pytest_benchmark_all_epochs_are_trained(run_bench, tmp_path):
    ran = run_bench(tmp_path, "-k", "shapes and projection", "-p", "no:benchmark")
    assert ran.status == 0, ran.output
    assert lengths(tmp_path) == {name: int(name[-3]) for name in SHAPES if "projection" in name}


@pytest.mark.slow  # three processes that nobody forks
def test_under_xdist_each_worker_trains_all_epochs_of_its_cases(run_bench, tmp_path):
    """With a limit, whose alarms arrive in the main thread only, where workers run their tests."""
    (tmp_path / "sitecustomize.py").write_text(LITTLE_MEASURED)
    options = ["-n", "2", "--dist", "worksteal", "--case-timeout", "1000"]
    ran = run_bench(tmp_path, "-k", "shapes and 1ep", *options, env={"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"})
    assert ran.status == 0, ran.output
    assert lengths(tmp_path) == {name: 1 for name in SHAPES if name.endswith("1ep")}


def test_a_failing_case_is_recorded_shown_and_does_not_stop_the_others(run_bench, tiny_matrix, tmp_path):
    """A learning rate beyond all bounds gives weights that are not finite."""
    broken = tmp_path / "matrix.yaml"
    broken.write_text(tiny_matrix.read_text() + "overrides: {projection: {learning_rate: 1.0e+30}}\n")
    ran = run_bench(tmp_path, "-k", "shapes", matrix=broken)
    entries = records(tmp_path)
    assert ran.status == 1 and "2 failed, 2 passed" in ran.output
    statuses = {name: entry["status"] for name, entry in entries.items()}
    assert statuses == {name: "failed" if "projection" in name else "done" for name in SHAPES}
    assert "NotFiniteError" in entries["shapes-dino-projection-1ep"]["message"]
    assert "| shapes-dino-projection-1ep | failed |" in (tmp_path / "report.md").read_text()


def test_the_plan_says_what_is_reusable_and_what_will_run(copied, tiny_matrix, tmp_path, capsys):
    def plan(where, *options):
        words = ["plan", "--matrix", tiny_matrix, "--profile", "tiny", "--results", where, *options]
        assert command.main([*map(str, words)]) == 0
        return capsys.readouterr().out

    assert "nothing to do" in plan(copied)
    (copied / "records" / f"{IDS[0]}.json").unlink()
    assert "7 reusable, 1 to run" in plan(copied)
    assert "0 reusable, 8 to run" in plan(tmp_path / "nothing")
    # Another precision is another result.
    assert "0 reusable, 8 to run" in plan(copied, "--precision", "fp32")


def test_the_baseline_decides_the_exit_code(copied, run_bench, tmp_path):
    baseline = tmp_path / "baseline.json"
    assert run_bench(copied, "--save-baseline", str(baseline)).status == 0
    better = unseal(baseline.read_text())
    better["cases"][IDS[0]]["metrics"]["knn_top1"] += 2.5
    (tmp_path / "better.json").write_text(seal(better))
    passed = run_bench(copied, "--baseline", str(baseline))
    failed = run_bench(copied, "--baseline", str(tmp_path / "better.json"))
    missing = run_bench(copied, "--baseline", str(tmp_path / "nowhere.json"))
    assert passed.status == 0 and "baseline passed: 8 of its 8 cases compared" in passed.output
    assert failed.status == 1 and "knn_top1" in failed.output and "baseline FAILED" in failed.output
    assert "baseline FAILED" in (copied / "report.md").read_text()
    assert missing.status == pytest.ExitCode.USAGE_ERROR and "is not a usable baseline" in missing.output
