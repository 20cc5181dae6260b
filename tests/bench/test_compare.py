"""The gate: each way in which a comparison could lie, made by hand."""

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import compare, matrix
from bench.record import Record

CASES = matrix.cases(matrix.load(), "ci")
IDS = [case.id for case in CASES]
TOLERANCES = {"parameters": 0, "knn_top1": 3.0, "epoch_seconds": 0.5}


def records(**changes):
    """Finished records of all cases; ``changes`` are metrics of the first one."""
    made = {}
    for case in CASES:
        entry = Record.of(case)
        entry.status, entry.metrics = "done", {"parameters": 100, "knn_top1": 70.0, "epoch_seconds": 1.0}
        made[case.id] = entry
    made[IDS[0]].metrics |= changes
    return made


@pytest.fixture
def baseline(tmp_path):
    compare.save(tmp_path / "b.json", "ci", list(records().values()), TOLERANCES)
    return compare.read(tmp_path / "b.json")


def hold(baseline, found=None, selected=IDS, tolerances=TOLERANCES):
    return compare.against(baseline, CASES, selected, records() if found is None else found, tolerances)


def test_equal_results_pass_and_all_are_compared(baseline):
    verdict = hold(baseline)
    assert verdict.passed and verdict.compared == verdict.of == len(IDS)
    assert f"{len(IDS)} of its {len(IDS)} cases compared" in verdict.lines()[0]


@pytest.mark.parametrize(
    ("metric", "value", "passes"),
    [("knn_top1", 67.0, True), ("knn_top1", 66.9, False), ("knn_top1", 99.0, True), ("parameters", 101, False),
     ("parameters", 99, False), ("epoch_seconds", 1.4, True), ("epoch_seconds", 1.6, False), ("epoch_seconds", 0.1, True)],
)  # fmt: skip
def test_direction_and_tolerance(baseline, metric, value, passes):
    verdict = hold(baseline, records(**{metric: value}))
    assert verdict.passed == passes
    if not passes:
        assert len(verdict.failures) == 1 and IDS[0] in verdict.failures[0] and metric in verdict.failures[0]


def test_a_metric_that_is_missing_or_not_a_number_fails(baseline):
    for value in (None, float("nan")):
        assert "was not measured" in hold(baseline, records(knn_top1=value)).failures[0]


def test_a_case_that_did_not_run_fails(baseline):
    found = records()
    del found[IDS[2]]
    verdict = hold(baseline, found)
    assert verdict.failures == [f"{IDS[2]}: did not run"] and verdict.compared == len(IDS) - 1


@pytest.mark.parametrize("status", ["failed", "oom", "timeout", "skipped", "crashed"])
def test_a_case_that_ended_badly_fails(baseline, status):
    found = records()
    found[IDS[1]].status = status
    assert hold(baseline, found).failures[0].startswith(f"{IDS[1]}: {status}")


def test_a_record_of_another_configuration_does_not_count_as_run(baseline):
    found = records()
    found[IDS[0]].fingerprint = "another"
    assert hold(baseline, found).failures == [f"{IDS[0]}: did not run"]


def test_a_changed_fingerprint_fails_until_the_baseline_is_renewed(baseline):
    baseline[IDS[0]]["fingerprint"] = "older"
    verdict = hold(baseline)
    assert "fingerprint changed" in verdict.failures[0] and "--save-baseline" in verdict.failures[0]


def test_a_renamed_case_fails_with_the_nearest_name(baseline):
    baseline[IDS[0].replace("projection", "projektion")] = baseline.pop(IDS[0])
    verdict = hold(baseline)
    assert f"gone from the matrix (did you mean '{IDS[0]}'?)" in verdict.failures[0]
    assert f"{IDS[0]}: new, not in the baseline" in verdict.remarks


def test_comparing_nothing_fails(baseline):
    assert not hold({}).passed
    assert "nothing was compared" in hold({}).failures[0]
    assert "nothing was compared" in hold(baseline, selected=[]).failures[0]


def test_only_the_selected_part_is_held_against_the_baseline(baseline):
    verdict = hold(baseline, {IDS[0]: records()[IDS[0]]}, selected=IDS[:1])
    assert verdict.passed and (verdict.compared, verdict.of) == (1, len(IDS))
    assert f"{len(IDS) - 1} cases of the baseline were not selected" in verdict.remarks


def test_an_improvement_is_listed(baseline):
    assert any("better" in text for text in hold(baseline, records(knn_top1=90.0)).remarks)


def test_a_metric_without_tolerance_is_said_not_to_be_compared(baseline):
    verdict = hold(baseline, tolerances={"parameters": 0})
    assert any("knn_top1 has no tolerance" in text for text in verdict.remarks)


def test_a_baseline_never_holds_half_a_matrix(tmp_path):
    found = records()
    found[IDS[0]].status = "failed"
    with pytest.raises(compare.BaselineError, match=IDS[0]):
        compare.save(tmp_path / "b.json", "ci", list(found.values()), TOLERANCES)
    with pytest.raises(compare.BaselineError, match="every case"):
        compare.save(tmp_path / "b.json", "ci", [], TOLERANCES)
    assert not (tmp_path / "b.json").exists()


def test_a_baseline_is_sorted_and_small(tmp_path):
    for name, order in (("a", 1), ("b", -1)):
        compare.save(tmp_path / name, "ci", list(records().values())[::order], TOLERANCES)
    assert (tmp_path / "a").read_text() == (tmp_path / "b").read_text()
    assert list(json.loads((tmp_path / "a").read_text())["cases"]) == sorted(IDS)


@given(st.binary(max_size=40) | st.sampled_from([b"[]", b'{"format": 1}', b'{"format": 1, "cases": {"x": {}}}', b'{"format":1,"cases":{"x":{"fingerprint":"f","metrics":{"knn_top1":"70"}}}}', b'{"format":1,"cases":{"x":{"fingerprint":"f","metrics":{"knn_top1":NaN}}}}']))  # fmt: skip
def test_any_bytes_are_an_error_message(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("b") / "baseline.json"
    path.write_bytes(content)
    with pytest.raises(compare.BaselineError, match=r"baseline\.json is not a usable baseline"):
        compare.read(path)


def test_the_cases_of_the_profile_have_different_fingerprints():
    assert len({case.fingerprint for case in CASES}) == len(CASES)
    assert dataclasses.replace(CASES[0], batch_size=32).fingerprint != CASES[0].fingerprint
