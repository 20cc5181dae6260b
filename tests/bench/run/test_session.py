"""The benchmark as a user runs it, on a tiny matrix: records, reuse, resume, plugins, failures."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from bench.kit.checksum import seal, unseal
from bench.kit.paths import ROOT
from bench.metrics import METRICS
from bench.plan import matrix
from bench.results import record

IDS = [
    f"{dataset}-{teacher}-{student}-{epochs}ep"
    for dataset, teacher in (("shapes", "dino"), ("scenes", "blip"))
    for student in ("projection", "cbam")
    for epochs in (1, 2)
]


def records(folder):
    return {path.stem: json.loads(path.read_text()) for path in (folder / "records").glob("*.json")}


def results_of(folder):
    """All that must not depend on how often a run was interrupted."""
    timed = ("epoch_seconds", "teacher_pass_seconds", "latency", "images_per_second", "peak_memory")
    return {
        name: {
            "metrics": {key: value for key, value in found["metrics"].items() if not key.startswith(timed)},
            "curve": [{k: v for k, v in entry.items() if k != "epoch_seconds"} for entry in found["curve"]],
        }
        for name, found in records(folder).items()
    }


def test_every_case_leaves_a_whole_record(finished):
    found = records(finished[0])
    assert sorted(found) == sorted(IDS)
    for name, entry in found.items():
        assert entry["status"] == "done" and entry["id"] == name
        assert entry["case"]["dataset"] == name.split("-")[0]
        assert [point["epoch"] for point in entry["curve"]] == list(range(entry["case"]["epochs"] + 1))
        for metric, value in (entry["metrics"] | entry["teacher"]).items():
            assert (value["unit"], value["direction"]) == (METRICS[metric].unit, METRICS[metric].better)
        own = "knn_top1" if name.startswith("shapes") else "image_to_text_r10"
        assert 0 < entry["metrics"][own]["value"] <= 100 and own in entry["teacher"]
        assert entry["environment"]["software"]["torch"] and entry["environment"]["hardware"]["cores"]
        assert set(entry["environment"]["git"]) == {"commit", "dirty"}


def test_sizes_in_records_are_the_students_and_all_that_must_run(finished):
    found = records(finished[0])
    projection, cbam = found["shapes-dino-projection-1ep"]["metrics"], found["shapes-dino-cbam-1ep"]["metrics"]
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
    assert ran.returncode == 0, ran.stdout + ran.stderr
    for student, batch in (("projection", 32), ("cbam", 16)):
        entry = records(tmp_path)[f"scenes-blip-{student}-1ep"]
        assert entry["teacher"]["paper_accuracy"]["value"] == dict(entry["in_batch"]["teacher"])[batch]
        assert entry["metrics"]["paper_accuracy"]["value"] == dict(entry["in_batch"]["student"])[batch]


def test_trained_controls_explanations_and_seeds_are_cases_and_pictures(run_bench, tmp_path):
    """One student with all controls and two seeds; then again with pictures, which trains nothing again."""
    options = ("-k", "shapes and projection and 2ep", "--seeds", "0,1")
    ran = run_bench(tmp_path, *options, "--controls", "all")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    found = records(tmp_path)
    ids = {f"shapes-dino-projection-2ep-s{seed}" for seed in (0, 1)}
    assert set(found) == ids | {
        f"{name}-{control}" for name in ids for control in ("no-distillation", "random-teacher")
    }
    teachers = {name: entry["teacher"].get("knn_top1", {}).get("value") for name, entry in found.items()}
    assert teachers["shapes-dino-projection-2ep-s0"] > teachers["shapes-dino-projection-2ep-s0-random-teacher"] > 0
    assert teachers["shapes-dino-projection-2ep-s0-no-distillation"] is None
    assert (
        "±" in (tmp_path / "report.md").read_text() and "over a random teacher" in (tmp_path / "report.md").read_text()
    )
    checkpoints = {path: path.stat().st_mtime_ns for path in tmp_path.glob("checkpoints/*/*.safetensors")}
    ran = run_bench(tmp_path, *options, "--explain")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert {path.stem for path in (tmp_path / "explain").glob("*.png")} == ids
    assert "(explain/shapes-dino-projection-2ep-s0.png)" in (tmp_path / "report.md").read_text()
    assert checkpoints == {path: path.stat().st_mtime_ns for path in tmp_path.glob("checkpoints/*/*.safetensors")}


def test_rounds_of_run_benchmark_are_epochs(finished):
    folder, _ = finished
    saved = json.loads((folder / "benchmark.json").read_text())
    rounds = {entry["param"]: entry["stats"] for entry in saved["benchmarks"]}
    for name, entry in records(folder).items():
        seconds = [point["epoch_seconds"] for point in entry["curve"][1:]]
        assert rounds[name]["rounds"] == entry["case"]["epochs"]
        assert sorted(rounds[name]["data"]) == pytest.approx(sorted(seconds), rel=0.01, abs=1e-4)


def test_a_second_run_reuses_and_says_so(finished, run_bench, tmp_path):
    folder = tmp_path / "results"
    shutil.copytree(finished[0], folder)
    (folder / "records" / f"{IDS[0]}.json").unlink()
    (folder / "records" / f"{IDS[1]}.json").write_text("{")
    before = records_except(folder, IDS[:2])
    ran = run_bench(folder, "-v")
    assert ran.returncode == 0 and "6 of 8 cases were reused" in ran.stdout
    assert ran.stdout.count("REUSED") == 6 and "8 passed" in ran.stdout
    assert records_except(folder, IDS[:2]) == before
    assert results_of(folder) == results_of(finished[0])


def test_a_session_that_only_reuses_does_not_import_torch(finished, tiny_matrix):
    """And so it takes about a second."""
    words = ["bench", "-q", "--matrix", str(tiny_matrix), "--profile", "tiny", "--results", str(finished[0])]
    code = f"import sys, pytest; code = pytest.main({words}); assert code == 0 and 'torch' not in sys.modules"
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def records_except(folder, names):
    return {path.name: path.read_text() for path in (folder / "records").glob("*.json") if path.stem not in names}


def test_rerun_none_runs_nothing(run_bench, tmp_path):
    ran = run_bench(tmp_path, "--rerun", "none")
    assert "8 skipped" in ran.stdout and not records(tmp_path)


def test_without_pytest_benchmark_all_epochs_are_trained(finished, run_bench, tmp_path):
    ran = run_bench(tmp_path, "-p", "no:benchmark", "-k", "shapes")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    expected = results_of(finished[0])
    assert results_of(tmp_path) == {name: expected[name] for name in IDS if name.startswith("shapes")}


def test_under_xdist_all_epochs_are_trained(finished, run_bench, tmp_path):
    # Alarms arrive in the main thread only, where workers run their tests.
    ran = run_bench(tmp_path, "-n", "2", "--dist", "worksteal", "-k", "shapes", "--case-timeout", "1000")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    found = results_of(tmp_path)
    assert sorted(found) == sorted(name for name in IDS if name.startswith("shapes"))
    assert all(len(found[name]["curve"]) == int(name.split("-")[-1][:-2]) + 1 for name in found)


def test_a_failing_case_is_recorded_shown_and_does_not_stop_the_others(run_bench, tiny_matrix, tmp_path):
    """A learning rate beyond all bounds gives weights that are not finite."""
    broken = tmp_path / "matrix.yaml"
    broken.write_text(tiny_matrix.read_text() + "overrides: {projection: {learning_rate: 1.0e+30}}\n")
    ran = run_bench(tmp_path, "-k", "shapes", matrix=broken)
    found = records(tmp_path)
    assert ran.returncode == 1 and "2 failed, 2 passed" in ran.stdout
    assert {found[name]["status"] for name in found if "projection" in name} == {"failed"}
    assert "NotFiniteError" in found["shapes-dino-projection-1ep"]["message"]
    assert {found[name]["status"] for name in found if "cbam" in name} == {"done"}
    assert "| shapes-dino-projection-1ep | failed |" in (tmp_path / "report.md").read_text()


def test_killed_again_and_again_the_last_run_ends_with_the_same_results(finished, run_bench, tiny_matrix, tmp_path):
    """Killed as soon as the first record is there, then as soon as the first checkpoint is."""
    folder = tmp_path / "results"
    words = [sys.executable, "-m", "pytest", "bench", "--matrix", str(tiny_matrix), "--profile", "tiny", "-q"]
    words += ["--results", str(folder), "-k", "shapes"]
    for seen in ("records/*.json", "checkpoints/*/epoch-0001.safetensors"):
        process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 120
        while not list(folder.glob(seen)) and time.monotonic() < deadline:
            time.sleep(0.005)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert list(folder.glob(seen)) and not (folder / "report.md").exists()
    ran = run_bench(folder, "-k", "shapes")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    expected = results_of(finished[0])
    assert results_of(folder) == {name: expected[name] for name in IDS if name.startswith("shapes")}
    assert not list(folder.rglob("*.tmp"))


def test_a_case_that_is_running_stands_as_crashed(tmp_path, tiny_matrix):
    case = matrix.cases(matrix.load(tiny_matrix), "tiny", tiny_matrix)[0]
    record.write(record.Record.of(case), tmp_path)
    assert record.read(record.path_of(tmp_path, case.id)).status == "crashed"
    assert record.reusable(case, tmp_path) is None


def test_the_plan_says_what_is_reusable_and_what_will_run(finished, tiny_matrix, tmp_path):
    folder = tmp_path / "results"
    shutil.copytree(finished[0], folder)
    (folder / "records" / f"{IDS[0]}.json").unlink()

    def plan(where, *options):
        words = [
            sys.executable,
            "-m",
            "bench",
            "plan",
            "--matrix",
            tiny_matrix,
            "--profile",
            "tiny",
            "--results",
            where,
        ]
        words = [*map(str, words), *options]
        return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=60).stdout

    assert "7 reusable, 1 to run" in plan(folder)
    assert "0 reusable, 8 to run" in plan(tmp_path / "nothing")
    assert "nothing to do" in plan(finished[0])
    # Another precision is another result.
    assert "0 reusable, 8 to run" in plan(finished[0], "--precision", "fp32")


def test_the_baseline_decides_the_exit_code(finished, run_bench, tmp_path):
    folder = tmp_path / "results"
    shutil.copytree(finished[0], folder)
    baseline = tmp_path / "baseline.json"
    assert run_bench(folder, "--save-baseline", str(baseline)).returncode == 0
    worse = unseal(baseline.read_text())
    worse["cases"][IDS[0]]["metrics"]["knn_top1"] += 2.5
    (tmp_path / "worse.json").write_text(seal(worse))
    passed = run_bench(folder, "--baseline", str(baseline))
    failed = run_bench(folder, "--baseline", str(tmp_path / "worse.json"))
    missing = run_bench(folder, "--baseline", str(tmp_path / "nowhere.json"))
    assert passed.returncode == 0 and "baseline passed: 8 of its 8 cases compared" in passed.stdout
    assert failed.returncode == 1 and "knn_top1" in failed.stdout and "baseline FAILED" in failed.stdout
    assert "baseline FAILED" in (folder / "report.md").read_text()
    assert missing.returncode == pytest.ExitCode.USAGE_ERROR and "is not a usable baseline" in missing.stderr


@pytest.mark.parametrize("option", ["--baseline", "--save-baseline"])
def test_a_baseline_is_refused_where_no_benchmark_runs(option, tmp_path):
    words = [sys.executable, "-m", "pytest", "tests/bench/kit/test_checksum.py", option, str(tmp_path / "b.json")]
    ran = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert ran.returncode == pytest.ExitCode.USAGE_ERROR and "are for the benchmark: pytest bench" in ran.stderr
