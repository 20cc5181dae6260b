"""The gate: each way in which a comparison could lie, made by hand, and numbers on both sides of each limit."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.plan import matrix
from bench.plan.case import without_seed
from bench.plan.schema import Tolerance
from bench.results.baseline import Baseline, Result, read
from bench.results.compare import against, exceeds, limit
from tests.bench.results.gate import FIRST, IDS, hold, records, remarks, save, tolerances


def changed(baseline, **parts):
    """The baseline with other parts of its first case."""
    return replace(baseline, cases=baseline.cases | {FIRST: replace(baseline.cases[FIRST], **parts)})


def with_metrics(baseline, metrics):
    """The baseline with other metrics of all its cases."""
    return replace(baseline, cases={name: replace(one, metrics=metrics) for name, one in baseline.cases.items()})


@pytest.mark.parametrize("processor", ["Some CPU", "Another CPU"])  # nor does it pass as not comparable
@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), float("-inf"), 10**400], ids=["nan", "inf", "-inf", "huge"]
)
@pytest.mark.parametrize("metric", ["knn_top1", "parameters", "epoch_seconds"])
def test_what_is_no_finite_number_never_passes(baseline, metric, value, processor):
    everything = tolerances(knn_top1={"relative": 1e308}, epoch_seconds={"relative": 1e308})
    entries = records(**{metric: value})
    entries[FIRST].environment["hardware"]["processor"] = processor
    assert "not a finite number" in hold(baseline, entries, stated=everything).failures[0]


def test_a_metric_that_is_missing_now_fails(baseline):
    assert hold(baseline, records(knn_top1=None)).failures == [
        f"{FIRST}: knn_top1 was not measured; the baseline has 70 %"
    ]
    entries = records()
    del entries[FIRST].metrics["epoch_seconds"]
    assert "epoch_seconds was not measured" in hold(baseline, entries).failures[0]


def test_a_case_that_did_not_run_fails(baseline):
    entries = records()
    del entries[IDS[2]]
    entries[FIRST].fingerprint = "another"  # nor does a record of another configuration count as run
    verdict = hold(baseline, entries)
    assert set(verdict.failures) == {f"{IDS[2]}: did not run", f"{FIRST}: did not run"}
    assert verdict.compared == len(IDS) - 2


@pytest.mark.parametrize("status", ["failed", "oom", "timeout", "skipped", "crashed"])
def test_a_case_that_ended_badly_fails_with_its_message(baseline, status):
    entries = records()
    entries[IDS[1]].status, entries[IDS[1]].message = status, "loss is\nnot finite"
    assert hold(baseline, entries).failures == [f"{IDS[1]}: {status}: loss is not finite"]


def test_a_changed_fingerprint_fails_until_the_baseline_is_renewed_and_shows_its_metrics(baseline):
    verdict = hold(changed(baseline, fingerprint="older"))
    assert len(verdict.failures) == 1 and verdict.compared == len(IDS) - 1
    assert (
        "fingerprint changed (code, data or weights), so" in verdict.failures[0]
        and "--save-baseline" in verdict.failures[0]
    )
    before = baseline.cases[FIRST].case | {"batch_size": 32}
    assert "changed (batch_size 32 -> 64), so" in hold(changed(baseline, fingerprint="older", case=before)).failures[0]
    verdict = hold(changed(baseline, fingerprint="older"), records(knn_top1=60.0))
    assert [finding.kind for finding in verdict.findings] == ["changed", "worse"]


def test_another_precision_is_named_where_the_fingerprint_changed(baseline):
    entries = records()
    entries[FIRST].environment["hardware"]["precision"] = {"teacher": "bf16", "training": "bf16"}
    verdict = hold(changed(baseline, fingerprint="older"), entries)
    words = "its fingerprint changed (precision teacher=fp32 training=fp32 -> teacher=bf16 training=bf16), so"
    assert [failure for failure in verdict.failures if words in failure]


def test_a_renamed_case_fails_with_the_nearest_name(baseline):
    cases = {name.replace("shapes-dino-projection-4ep", "shapes-dino-projektion-4ep"): one for name, one in baseline.cases.items()}  # fmt: skip
    verdict = hold(replace(baseline, cases=cases))
    words = "gone from the matrix, or of other --seeds or --controls (did you mean 'shapes-dino-projection-4ep"
    assert words in verdict.failures[0]
    assert any(text.endswith("new, not in the baseline") and FIRST in text for text in remarks(verdict))


def test_a_case_that_is_gone_fails_whatever_was_selected(baseline):
    cases = baseline.cases | {"scenes-clip-cbam-4ep": baseline.cases[FIRST]}
    assert "gone" in hold(replace(baseline, cases=cases), selected=IDS[:1]).failures[0]


def test_comparing_nothing_fails(baseline):
    elsewhere = records()
    for entry in elsewhere.values():
        entry.environment["hardware"]["processor"] = "Another CPU"
    for verdict in (
        hold(replace(baseline, cases={})),
        hold(baseline, selected=[]),
        hold(with_metrics(baseline, {})),
        hold(baseline, stated={"size_mb": Tolerance(absolute=0)}),
        hold(with_metrics(baseline, {"epoch_seconds": 1.0}), elsewhere),
    ):
        assert len(verdict.failures) == 1 and "nothing was compared" in verdict.failures[0]


def test_only_the_selected_part_is_held_against_the_baseline(baseline):
    verdict = hold(baseline, {FIRST: records()[FIRST]}, selected=IDS[:1])
    assert verdict.passed and "1 of its 12 cases compared" in verdict.summary()
    assert "11 cases of the baseline were not selected" in remarks(verdict)


def test_an_improvement_is_listed(baseline):
    verdict = hold(baseline, records(knn_top1=73.5, epoch_seconds=0.6))
    assert verdict.passed and "2 better" in verdict.summary()
    assert f"{FIRST}: knn_top1 70 -> 73.5 % (+3.5, tolerance 3): better" in remarks(verdict)
    assert remarks(hold(baseline, records(knn_top1=73.0, epoch_seconds=0.7))) == []


def test_a_metric_that_is_not_compared_is_listed(baseline):
    stated = {name: one for name, one in tolerances().items() if name != "knn_top1"}
    assert remarks(hold(baseline, stated=stated)) == [
        "knn_top1 of 12 cases: no tolerance in matrix.yaml, so not compared"
    ]
    without = changed(baseline, metrics={"parameters": 100, "epoch_seconds": 1.0})
    assert remarks(hold(without)) == [f"knn_top1 of {FIRST}: measured, but not in the baseline"]


OTHER = [
    ("hardware", "processor", "Another CPU", "processor Some CPU -> Another CPU"),
    ("hardware", "device", "NVIDIA H200", "device cpu -> NVIDIA H200"),
    ("hardware", "threads", 1, "threads 2 -> 1"), ("hardware", "cases_beside", 0, "cases_beside 1 -> 0"),
    ("hardware", "precision", {"teacher": "bf16", "training": "fp32"}, "precision teacher=fp32 training=fp32 -> teacher=bf16"),
    ("software", "torch", "2.16.0", "torch 2.15.0 -> 2.16.0"),
    ("software", "timm", "1.0.31", "timm unknown -> 1.0.31"),
]  # fmt: skip


@pytest.mark.parametrize(("part", "name", "value", "says"), OTHER, ids=[row[1] for row in OTHER])
def test_times_are_not_comparable_on_another_device_or_software_and_all_else_is(baseline, part, name, value, says):
    entries = records(epoch_seconds=100.0)
    entries[FIRST].environment[part][name] = value
    verdict = hold(baseline, entries)
    assert verdict.passed and "1 not comparable" in verdict.summary() and verdict.metrics == 35
    assert remarks(verdict)[0].startswith(f"epoch_seconds of {FIRST}: not comparable: {says}")
    entries[FIRST].metrics |= {"knn_top1": 60.0, "parameters": 101}
    assert len(hold(baseline, entries).failures) == 2


def test_a_time_that_another_machine_measured_is_not_comparable_and_in_no_baseline(baseline):
    entries = records()
    entries[FIRST].set_time("epoch_seconds", 100.0, "NVIDIA H200 (Some CPU, 2 threads)")
    verdict = hold(baseline, entries)
    assert verdict.passed and verdict.metrics == 35
    assert remarks(verdict)[0].startswith(
        f"epoch_seconds of {FIRST}: not comparable: epoch_seconds was measured on NVI"
    )
    assert "epoch_seconds" not in Result.of(entries[FIRST], tolerances()).metrics
    entries = records()
    entries[FIRST].set_time("epoch_seconds", 100.0, "cpu (Some CPU, 2 threads)")
    assert not hold(baseline, entries).passed


def test_a_note_excuses_no_metric_that_every_machine_measures(baseline):
    entries = records(knn_top1=None)
    entries[FIRST].notes = ["knn_top1 was measured on NVIDIA H200"]
    assert not hold(baseline, entries).passed


def test_an_unknown_processor_equals_nothing(tmp_path):
    entries = records()
    for entry in entries.values():
        del entry.environment["hardware"]["processor"]
    save(tmp_path / "b.json", entries)
    assert any("processor unknown -> unknown" in text for text in remarks(hold(read(tmp_path / "b.json"), entries)))


# (direction of the metric, tolerance, before, the last value that passes, the first that does not)
EDGES = [
    ("knn_top1", {"absolute": 5}, 82.4, 77.4, 77.39),
    ("similarity_kl", {"absolute": 0.25}, 0.5, 0.75, 0.7501),
    ("epoch_seconds", {"relative": 0.3}, 1.0, 1.3, 1.3001),
    ("epoch_seconds", {"relative": 4, "at_least": 1}, 0.02, 1.02, 1.021),  # 4 × 0.02 is less than the floor
    ("epoch_seconds", {"relative": 4, "at_least": 1}, 1.0, 5.0, 5.01),
    ("images_per_second", {"relative": 0.5}, 900, 450, 449),
    ("parameters", 0, 100, 100, 101),
    ("parameters", 0, 100, 100, 99),
    ("size_mb", 0, 0.3, 0.3, 0.1 + 0.2),  # to the last bit
    # Seeds 70, 72, 74: mean 72, sample variance (4 + 0 + 4) / 2 = 4, deviation 2.
    ("knn_top1", {"deviations": 3}, 72.0, 66.0, 65.99),
    ("knn_top1", {"deviations": 1.5, "at_least": 4}, 70.0, 66.0, 65.99),
    ("knn_top1", {"deviations": 1.5, "at_least": 2}, 70.0, 67.0, 66.99),
]


@pytest.mark.parametrize(("metric", "stated", "before", "passes", "fails"), EDGES)
def test_both_sides_of_the_limit(metric, stated, before, passes, fails):
    allowed = limit(Tolerance.model_validate(stated), before, [70.0, 72.0, 74.0])[0]
    assert not exceeds(metric, before, passes, allowed)
    assert exceeds(metric, before, fails, allowed)


@pytest.mark.parametrize(
    ("name", "same"),
    [("scenes-blip-cbam-10ep-s0", "scenes-blip-cbam-10ep"), ("a-b-c-5ep-s12-rkd-no-distillation", "a-b-c-5ep-rkd-no-distillation"),
     ("scenes-blip-cbam-10ep", "scenes-blip-cbam-10ep"), ("a-b-c-5ep-soft", "a-b-c-5ep-soft"), ("x-s1-b-c-5ep-s1", "x-s1-b-c-5ep")],
)  # fmt: skip
def test_seeds_of_one_configuration_differ_only_in_their_seed(name, same):
    assert without_seed(name) == same


def over_seeds(seeds, now, **tolerance):
    """The first seed of three held against a baseline of three seeds of one case, and other cases beside them."""
    cases = matrix.cases(matrix.load(), "ci", seeds=(0, 1, 2))
    mine = [case for case in cases if without_seed(case.id) == "shapes-dino-projection-4ep"]
    other = next(case for case in cases if case.student == "cbam" and case.control is None)
    held = {case.id: Result(case.fingerprint, {"knn_top1": value}) for case, value in zip(mine, seeds, strict=False)}
    held[other.id] = Result(other.fingerprint, {"knn_top1": 10.0})
    entry = records()[FIRST]
    entry.fingerprint, entry.metrics = mine[0].fingerprint, {"knn_top1": now}
    return against(Baseline("ci", held), cases, {mine[0]: entry}, {"knn_top1": Tolerance(**tolerance)})


def test_deviations_are_over_the_baselines_seeds_also_of_seeds_that_were_not_selected():
    assert over_seeds([70.0, 72.0, 74.0], 64.0, deviations=3).passed
    assert "3 × 2 over 3 seeds" in over_seeds([70.0, 72.0, 74.0], 63.9, deviations=3).failures[0]


def test_deviations_with_one_seed_fail_and_say_what_to_do():
    failure = over_seeds([70.0], 70.0, deviations=3).failures[0]
    assert all(words in failure for words in ("needs two seeds in the baseline", "--seeds 0,1,2", "at_least"))
    assert over_seeds([70.0], 69.0, deviations=3, at_least=1.0).passed
    assert not over_seeds([70.0], 68.9, deviations=3, at_least=1.0).passed


DIRECTIONS = {"knn_top1": -1, "similarity_kl": 1, "parameters": None}
values = st.decimals(min_value=0, max_value=100, places=2)


@given(st.lists(st.tuples(st.sampled_from(sorted(DIRECTIONS)), values, values), min_size=1, max_size=12),
       st.sampled_from(["absolute", "relative"]), st.decimals(min_value=0, max_value=2, places=2))  # fmt: skip
def test_it_passes_exactly_when_no_metric_is_worse_than_its_tolerance(rows, kind, size):
    """Against exact decimal arithmetic; each row is a case with one metric, before and now."""
    stated = {metric: Tolerance(**{kind: float(size)}) for metric in DIRECTIONS} | {"parameters": Tolerance(absolute=0)}
    entries, cases, worse = records(), {}, False
    for name, (metric, before, now) in zip(IDS, rows, strict=False):
        cases[name] = Result(entries[name].fingerprint, {metric: float(before)})
        entries[name].metrics = {metric: float(now)}
        if metric == "parameters":
            worse |= now != before
        else:
            allowed = size if kind == "absolute" else size * abs(before)
            worse |= DIRECTIONS[metric] * (now - before) > allowed
    verdict = hold(Baseline("ci", cases), entries, stated=stated)
    assert verdict.passed == (not worse) and verdict.metrics == len(rows)
