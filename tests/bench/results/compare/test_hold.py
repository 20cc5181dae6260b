"""The gate: each way in which a comparison could lie, made by hand."""

from dataclasses import replace

import pytest
from bench.results.compare.baseline import Baseline, Result
from hypothesis import given
from hypothesis import strategies as st

from bench.plan.schema import Tolerance
from bench.results import compare
from tests.bench.results.compare.listing import remarks
from tests.bench.results.compare.results import CASES, FIRST, IDS, records, tolerances


def hold(baseline, found=None, selected=IDS, stated=None):
    return compare.against(baseline, CASES, selected, records() if found is None else found, stated or tolerances())


def changed(baseline, **parts):
    """The baseline with other parts of its first case."""
    return replace(baseline, cases=baseline.cases | {FIRST: replace(baseline.cases[FIRST], **parts)})


def test_equal_results_pass_and_all_are_compared(baseline):
    verdict = hold(baseline)
    assert verdict.passed and verdict.compared == verdict.of == len(IDS) == 12
    assert verdict.metrics == 12 * 3
    assert "baseline passed: 12 of its 12 cases compared, 36 metrics, 0 failures" in verdict.summary()


@pytest.mark.parametrize(
    ("metric", "value", "passes"),
    [("knn_top1", 67.0, True), ("knn_top1", 66.99, False), ("knn_top1", 99.0, True), ("parameters", 101, False),
     ("parameters", 99, False), ("epoch_seconds", 1.3, True), ("epoch_seconds", 1.301, False), ("epoch_seconds", 0.1, True)],
)  # fmt: skip
def test_direction_and_tolerance(baseline, metric, value, passes):
    verdict = hold(baseline, records(**{metric: value}))
    assert verdict.passed == passes
    if not passes:
        assert len(verdict.failures) == 1 and verdict.failures[0].startswith(f"{FIRST}: {metric} ")


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), float("-inf"), 10**400], ids=["nan", "inf", "-inf", "huge"]
)
@pytest.mark.parametrize("metric", ["knn_top1", "parameters", "epoch_seconds"])
def test_what_is_no_finite_number_never_passes(baseline, metric, value):
    everything = tolerances(knn_top1={"relative": 1e308}, epoch_seconds={"relative": 1e308})
    assert "not a finite number" in hold(baseline, records(**{metric: value}), stated=everything).failures[0]


def test_what_is_no_finite_number_does_not_pass_as_not_comparable(baseline):
    found = records(epoch_seconds=float("nan"))
    found[FIRST].environment["hardware"]["processor"] = "Another CPU"
    assert not hold(baseline, found).passed


def test_a_metric_that_is_missing_now_fails(baseline):
    assert hold(baseline, records(knn_top1=None)).failures == [
        f"{FIRST}: knn_top1 was not measured; the baseline has 70 %"
    ]
    found = records()
    del found[FIRST].metrics["epoch_seconds"]
    assert "epoch_seconds was not measured" in hold(baseline, found).failures[0]


def test_a_case_that_did_not_run_fails(baseline):
    found = records()
    del found[IDS[2]]
    verdict = hold(baseline, found)
    assert verdict.failures == [f"{IDS[2]}: did not run"] and verdict.compared == len(IDS) - 1


@pytest.mark.parametrize("status", ["failed", "oom", "timeout", "skipped", "crashed"])
def test_a_case_that_ended_badly_fails_with_its_message(baseline, status):
    found = records()
    found[IDS[1]].status, found[IDS[1]].message = status, "loss is\nnot finite"
    assert hold(baseline, found).failures == [f"{IDS[1]}: {status}: loss is not finite"]


def test_a_record_of_another_configuration_does_not_count_as_run(baseline):
    found = records()
    found[FIRST].fingerprint = "another"
    assert hold(baseline, found).failures == [f"{FIRST}: did not run"]


def test_a_changed_fingerprint_fails_until_the_baseline_is_renewed(baseline):
    verdict = hold(changed(baseline, fingerprint="older"))
    assert len(verdict.failures) == 1 and verdict.compared == len(IDS) - 1
    assert "fingerprint changed" in verdict.failures[0] and "--save-baseline" in verdict.failures[0]


def test_another_precision_is_named_where_the_fingerprint_changed(baseline):
    found = records()
    found[FIRST].environment["hardware"]["precision"] = {"teacher": "bf16", "training": "bf16"}
    verdict = hold(changed(baseline, fingerprint="older"), found)
    told = "its fingerprint changed (precision teacher=fp32 training=fp32 -> teacher=bf16 training=bf16), so"
    assert [failure for failure in verdict.failures if told in failure]
    assert "(precision" not in hold(changed(baseline, fingerprint="older")).failures[0]


def test_beside_a_changed_fingerprint_one_sees_what_changed(baseline):
    verdict = hold(changed(baseline, fingerprint="older"), records(knn_top1=60.0))
    assert [finding.kind for finding in verdict.findings] == ["changed", "worse"]


def test_a_renamed_case_fails_with_the_nearest_name(baseline):
    cases = {name.replace("shapes-dino-projection-4ep", "shapes-dino-projektion-4ep"): one for name, one in baseline.cases.items()}  # fmt: skip
    verdict = hold(replace(baseline, cases=cases))
    assert "gone from the matrix (did you mean 'shapes-dino-projection-4ep" in verdict.failures[0]
    assert any(text.endswith("new, not in the baseline") and FIRST in text for text in remarks(verdict))


def test_a_case_that_is_gone_fails_whatever_was_selected(baseline):
    cases = baseline.cases | {"scenes-clip-cbam-4ep": baseline.cases[FIRST]}
    assert "gone" in hold(replace(baseline, cases=cases), selected=IDS[:1]).failures[0]


@pytest.mark.parametrize("selected", [IDS, []])
def test_comparing_no_case_fails(baseline, selected):
    empty = replace(baseline, cases={}) if selected else baseline
    assert "nothing was compared" in hold(empty, selected=selected).failures[0]


def test_comparing_cases_without_any_metric_fails(baseline):
    emptied = replace(baseline, cases={name: replace(one, metrics={}) for name, one in baseline.cases.items()})
    for verdict in (hold(emptied), hold(baseline, stated={"size_mb": Tolerance(absolute=0)})):
        assert len(verdict.failures) == 1 and "nothing was compared" in verdict.failures[0]


def test_comparing_only_what_is_not_comparable_fails(baseline):
    found = records()
    for entry in found.values():
        entry.environment["hardware"]["processor"] = "Another CPU"
    only_times = {name: replace(one, metrics={"epoch_seconds": 1.0}) for name, one in baseline.cases.items()}
    assert "nothing was compared" in hold(replace(baseline, cases=only_times), found).failures[0]


def test_only_the_selected_part_is_held_against_the_baseline(baseline):
    verdict = hold(baseline, {FIRST: records()[FIRST]}, selected=IDS[:1])
    assert verdict.passed and "1 of its 12 cases compared" in verdict.summary()
    assert "11 cases of the baseline were not selected" in remarks(verdict)


def test_an_improvement_is_listed(baseline):
    verdict = hold(baseline, records(knn_top1=73.5, epoch_seconds=0.6))
    assert verdict.passed and "2 better" in verdict.summary()
    assert f"{FIRST}: knn_top1 70 -> 73.5 % (+3.5, tolerance 3): better" in remarks(verdict)
    assert remarks(hold(baseline, records(knn_top1=73.0, epoch_seconds=0.7))) == []


def test_a_metric_without_tolerance_is_said_not_to_be_compared(baseline):
    stated = {name: one for name, one in tolerances().items() if name != "knn_top1"}
    assert remarks(hold(baseline, stated=stated)) == [
        "knn_top1 of 12 cases: no tolerance in matrix.yaml, so not compared"
    ]


def test_a_metric_that_only_the_baseline_lacks_is_told(baseline):
    without = changed(baseline, metrics={"parameters": 100, "epoch_seconds": 1.0})
    assert remarks(hold(without)) == [f"knn_top1 of {FIRST}: measured, but not in the baseline"]


def test_the_cases_of_the_profile_have_different_fingerprints():
    assert len({case.fingerprint for case in CASES}) == len(CASES)
    assert replace(CASES[0], batch_size=32).fingerprint != CASES[0].fingerprint


DIRECTIONS = {"knn_top1": -1, "similarity_kl": 1, "parameters": None}
values = st.decimals(min_value=0, max_value=100, places=2)


@given(st.lists(st.tuples(st.sampled_from(sorted(DIRECTIONS)), values, values), min_size=1, max_size=12),
       st.sampled_from(["absolute", "relative"]), st.decimals(min_value=0, max_value=2, places=2))  # fmt: skip
def test_it_passes_exactly_when_no_metric_is_worse_than_its_tolerance(rows, kind, size):
    """Against exact decimal arithmetic; each row is a case with one metric, before and now."""
    stated = {metric: Tolerance(**{kind: float(size)}) for metric in DIRECTIONS} | {"parameters": Tolerance(absolute=0)}
    found, cases, worse = records(), {}, False
    for name, (metric, before, now) in zip(IDS, rows, strict=False):
        cases[name] = Result(found[name].fingerprint, {metric: float(before)})
        found[name].metrics = {metric: float(now)}
        if metric == "parameters":
            worse |= now != before
        else:
            allowed = size if kind == "absolute" else size * abs(before)
            worse |= DIRECTIONS[metric] * (now - before) > allowed
    verdict = compare.against(Baseline("ci", cases), CASES, IDS, found, stated)
    assert verdict.passed == (not worse) and verdict.metrics == len(rows)
