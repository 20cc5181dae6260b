"""Times and memory are compared only where device and software are equal."""

import pytest
from bench.results.compare.baseline import Result
from bench.results.compare.conditions import depends_on_machine

from bench.metrics import METRICS
from bench.results import compare
from tests.bench.results.compare.listing import remarks
from tests.bench.results.compare.results import CASES, FIRST, IDS, records, save, tolerances


def hold(baseline, found):
    return compare.against(baseline, CASES, IDS, found, tolerances())


OTHER = [
    ("hardware", "processor", "Another CPU", "processor Some CPU -> Another CPU"),
    ("hardware", "device", "NVIDIA H200", "device cpu -> NVIDIA H200"),
    ("hardware", "threads", 1, "threads 2 -> 1"),
    ("hardware", "precision", {"teacher": "bf16", "training": "fp32"}, "precision teacher=fp32 training=fp32 -> teacher=bf16"),
    ("software", "torch", "2.16.0", "torch 2.15.0 -> 2.16.0"),
    ("software", "timm", "1.0.31", "timm unknown -> 1.0.31"),
]  # fmt: skip


@pytest.mark.parametrize(("part", "name", "value", "says"), OTHER, ids=[row[1] for row in OTHER])
def test_times_are_not_comparable_on_another_device_or_software(baseline, part, name, value, says):
    found = records(epoch_seconds=100.0)
    found[FIRST].environment[part][name] = value
    verdict = hold(baseline, found)
    assert verdict.passed and "1 not comparable" in verdict.summary() and verdict.metrics == 35
    assert remarks(verdict)[0].startswith(f"epoch_seconds of {FIRST}: not comparable: {says}")


def test_a_time_that_another_machine_measured_is_not_comparable_and_in_no_baseline(baseline, tmp_path):
    found = records(epoch_seconds=100.0)
    found[FIRST].protocol["timed_on"] = {"epoch_seconds": "NVIDIA H200 (Some CPU, 2 threads)"}
    verdict = hold(baseline, found)
    assert verdict.passed and verdict.metrics == 35
    assert remarks(verdict)[0].startswith(f"epoch_seconds of {FIRST}: not comparable: another machine measured it")
    assert "epoch_seconds" not in Result.of(found[FIRST], tolerances()).metrics
    found[FIRST].protocol["timed_on"] = {"epoch_seconds": "cpu (Some CPU, 2 threads)"}
    assert not hold(baseline, found).passed


def test_accuracy_and_size_are_compared_on_any_device(baseline):
    found = records(knn_top1=60.0, parameters=101)
    found[FIRST].environment["hardware"]["processor"] = "Another CPU"
    assert len(hold(baseline, found).failures) == 2


def test_cores_that_were_not_used_do_not_matter(baseline):
    found = records(epoch_seconds=2.0)
    found[FIRST].environment["hardware"]["cores"] = 64
    assert not hold(baseline, found).passed


def test_an_unknown_processor_equals_nothing(tmp_path):
    found = records()
    for entry in found.values():
        del entry.environment["hardware"]["processor"]
    save(tmp_path / "b.json", found)
    verdict = hold(compare.read(tmp_path / "b.json"), found)
    assert any("processor unknown -> unknown" in text for text in remarks(verdict))


def test_what_depends_on_the_machine():
    assert {metric for metric in METRICS if depends_on_machine(metric)} == {
        "epoch_seconds", "teacher_pass_seconds", "latency_ms_batch_1", "latency_ms_batch_64", "images_per_second",
        "inference_memory_mb", "energy_mj_per_image", "peak_memory_mb",
    }  # fmt: skip
