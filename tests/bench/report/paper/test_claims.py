"""Verdicts on the paper's claims follow from the measured figures."""

import pytest

from bench.report.results import headline
from tests.bench.report.paper.claimed import ABOVE, STUDENTS, entry, measured

pytestmark = pytest.mark.usefixtures("sizes")
GAIN = "{gain: {teacher: blip, student: attention}, below: -5}"


def test_a_ranking_holds_only_above_every_other_and_tells_the_nearest(tmp_path):
    others = [entry("blip", "projection", 5, 60.0), entry("blip", "attention", 5, 70.0)]
    assert measured(tmp_path, [*others, entry("blip", "cbam", 5, 71.0)], ABOVE) == (
        "**holds**: blip cbam 5 ep 71.00 against attention 70.00"
    )
    assert measured(tmp_path, [*others, entry("blip", "cbam", 5, 65.0)], ABOVE) == (
        "**fails**: blip cbam 5 ep 65.00 against attention 70.00"
    )


def test_equal_figures_are_not_above_but_at_least(tmp_path):
    chosen = [entry("blip", student, 5, 60.0) for student in ("cbam", "projection", "attention")]
    assert measured(tmp_path, chosen, ABOVE).startswith("**fails**")
    assert measured(tmp_path, chosen, ABOVE.replace("above", "at_least")).startswith("**holds**")


@pytest.mark.parametrize("status", ["oom", "crashed", "failed", "timeout", None])
def test_a_claim_is_not_tested_while_one_of_its_records_is_not_done(tmp_path, status):
    chosen = [entry("blip", "projection", 5, 90.0), entry("blip", "cbam", 5, 70.0)]
    if status:
        chosen.append(entry("blip", "attention", 5, 60.0, status=status))
    assert measured(tmp_path, chosen, ABOVE).startswith("**not tested**: blip cbam 5 ep against attention: ")


def test_a_change_is_from_the_papers_shorter_to_its_longer_training(tmp_path):
    chosen = [entry("blip", "attention", 5, 80.0), entry("blip", "attention", 10, 74.0)]
    assert measured(tmp_path, chosen, GAIN) == "**holds**: blip attention 80.00 → 74.00 (-6.00)"
    assert measured(tmp_path, chosen, GAIN.replace("-5", "-6")).startswith("**fails**")
    assert measured(tmp_path, chosen[:1], GAIN) == "**not tested**: blip attention: not run"


def seeds(student, *accuracies):
    return [
        entry("blip", student, 5, accuracy, seed=seed, several_seeds=True) for seed, accuracy in enumerate(accuracies)
    ]


@pytest.mark.parametrize(
    ("cbam", "attention", "verdict"),
    [
        # Standard deviations with ddof 1: of (80, 84) √8 = 2.83, with ddof 0 it would be 2; of (78.5, 80.5) √2 = 1.41.
        ((80, 84), (78.5, 80.5), "**within the spread**: blip cbam 5 ep 82.00 ± 2.83 against attention 79.50 ± 1.41"),
        ((78.5, 80.5), (80, 84), "**within the spread**: blip cbam 5 ep 79.50 ± 1.41 against attention 82.00 ± 2.83"),
        ((80, 84), (78, 80), "**holds**: blip cbam 5 ep 82.00 ± 2.83 against attention 79.00 ± 1.41"),
        ((78, 80), (80, 84), "**fails**: blip cbam 5 ep 79.00 ± 1.41 against attention 82.00 ± 2.83"),
    ],
)
def test_over_seeds_a_difference_counts_only_beyond_the_larger_deviation(tmp_path, cbam, attention, verdict):
    chosen = [*seeds("cbam", *cbam), *seeds("attention", *attention), *seeds("projection", 60, 60)]
    assert measured(tmp_path, chosen, ABOVE) == verdict


def test_a_missing_seed_leaves_a_claim_untested(tmp_path):
    chosen = [*seeds("cbam", 80, 84), *seeds("attention", 70, 70), *seeds("projection", 60, 60)]
    chosen[0] = (chosen[0][0], None)
    assert measured(tmp_path, chosen, ABOVE) == "**not tested**: blip cbam 5 ep: not run"


def test_one_broken_condition_breaks_the_claim(tmp_path):
    chosen = [entry("blip", "attention", 5, 80.0), entry("blip", "attention", 10, 74.0)]
    broken = "{accuracy: {teacher: blip, student: attention, epochs: 10}, at_least: 75}"
    assert measured(tmp_path, chosen, GAIN, broken) == "**fails**: blip attention 10 ep 74.00"


def test_controls_losses_and_further_datasets_are_left_out(tmp_path):
    own = [entry("dino", "projection", 10, 70.0)]
    others = [
        entry("dino", "projection", 10, 10.0, control="no-distillation"),
        entry("dino", "projection", 10, 10.0, several_losses=True),
    ]
    papers = entry("dino", "projection", 10, 50.0, dataset="tiny-imagenet")
    test = "{accuracy: {teacher: dino, student: projection, epochs: 10}, above: 60}"
    assert measured(tmp_path, others + own, test) == "**holds**: dino projection 10 ep 70.00"
    assert measured(tmp_path, [*own, papers], test) == "**fails**: dino projection 10 ep 50.00"


def test_the_headline_is_judged_by_its_own_figures(tmp_path):
    chosen = [entry("dino", "projection", 10, 100.0, top=82.8), entry("clip", "projection", 10, 99.0, top=40.0)]
    test = "{accuracy: {teacher: [dino, clip], student: projection, epochs: 10}, at_least: 99}"
    assert measured(tmp_path, chosen, test).startswith("**holds**")
    assert measured(tmp_path, chosen, test, score=headline) == (
        "**fails**: dino projection 10 ep 82.80; clip projection 10 ep 40.00"
    )


def test_a_student_is_compared_with_the_teacher_itself(tmp_path):
    chosen = [entry("dino", "projection", 10, 86.0, own=90.0)]
    keeps = "{accuracy: {teacher: dino, student: projection, epochs: 10}, minus: teacher, at_least: -5}"
    smaller = "{deployed: {teacher: dino, student: projection, epochs: 10}, over: teacher, below: 1}"
    assert measured(tmp_path, chosen, keeps) == "**holds**: dino projection 10 ep 86.00 against dino itself 90.00"
    assert "5.00 MB deployed against dino itself 4.00 MB deployed (1.25 times)" in measured(tmp_path, chosen, smaller)


def test_teachers_are_compared_by_their_pass_which_many_records_share(tmp_path):
    chosen = [entry("blip", "cbam", epochs, 1.0, seconds=9.0) for epochs in (5, 10)]
    chosen += [entry("clip", "cbam", 5, 1.0, seconds=4.0), entry("clip", "resnet", 5, 1.0, status="crashed")]
    test = "{teacher_pass: {teacher: blip}, over: {teacher: clip}, above: 2}"
    assert measured(tmp_path, chosen, test) == "**holds**: blip 9.00 s against clip 4.00 s (2.25 times)"


def test_a_range_is_from_the_lowest_to_the_highest_student(tmp_path):
    chosen = [
        entry("clip", student, 5, value) for student, value in zip(STUDENTS, (50, 20, 90, 60, 70, 80), strict=True)
    ]
    chosen += [
        entry("dino", student, 5, value) for student, value in zip(STUDENTS, (30, 25, 10, 15, 99, 20), strict=True)
    ]
    test = (
        "{range: {teacher: clip, student: [projection, attention, cbam], epochs: 5}, minus: {teacher: dino}, above: 15}"
    )
    assert measured(tmp_path, chosen, test) == (
        "**holds**: clip 5 ep 40.00 (50.00 to 90.00) against dino 20.00 (10.00 to 30.00)"
    )


@pytest.mark.parametrize(("status", "word"), [("oom", "holds"), ("done", "fails"), ("crashed", "not tested")])
def test_running_out_of_memory_is_a_result(tmp_path, status, word):
    test = "{out_of_memory: {teacher: dino, student: resnet, epochs: 5}, at_least: 1}"
    assert measured(tmp_path, [entry("dino", "resnet", 5, 1.0, status=status)], test).startswith(f"**{word}**")


@pytest.mark.parametrize(
    ("test", "word"),
    [
        ("{size: {teacher: clip, student: attention}, over: {student: [projection, cbam]}, above: 6.4}", "fails"),
        ("{size: {teacher: clip, student: attention}, over: {student: [projection, cbam]}, at_least: 6.4}", "holds"),
        ("{size: {teacher: clip, student: attention}, about: 8.07}", "holds"),
        ("{size: {teacher: clip, student: attention}, about: 8.09}", "fails"),
    ],
)
def test_sizes_need_no_record(tmp_path, test, word):
    assert measured(tmp_path, [], test).startswith(f"**{word}**")
