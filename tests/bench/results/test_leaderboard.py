"""Who leads, and how that is written."""

import csv
from dataclasses import replace

import pytest

from bench.results import contributed, leaderboard
from bench.results.leaderboard import welch
from tests.bench.results.contributions import CASES, DENSENET, LONG, contributable, contribute


def test_welchs_p_is_the_published_one():
    """Example 1 of https://en.wikipedia.org/wiki/Welch's_t-test: t = -2.46 with 25.0 degrees of freedom, p = 0.021."""
    these = [27.5, 21.0, 19.0, 23.6, 17.0, 17.9, 16.9, 20.1, 21.9, 22.6, 23.1, 19.6, 19.0, 21.7, 21.4]
    those = [27.1, 22.0, 20.8, 23.4, 23.4, 23.5, 25.8, 22.0, 24.8, 20.2, 21.9, 22.1, 22.9, 20.5, 24.4]
    assert welch(these, those, step=0.1) == pytest.approx(0.021, abs=5e-4)
    assert welch([1.0, 1.0], [1.0, 1.0], step=0.1) == 1 and welch([1.0], [2.0, 3.0], step=0.1) is None


def test_seeds_that_agree_know_an_accuracy_to_one_image():
    """By hand, of 500 images: t = 10 / sqrt(2 * 0.2² / 12 / 3) = 212; of 10: t = 10 / sqrt(2 * 10² / 12 / 3) = 4.24, p = 0.013;
    one image of 10 more or less alone: t = 1 / (10 / sqrt(18)) = 0.42, p = 0.69."""
    assert welch([60.0] * 3, [70.0] * 3, step=0.2) < 1e-6
    assert welch([60.0] * 3, [70.0] * 3, step=10) == pytest.approx(0.013, abs=5e-4)
    assert welch([60.0] * 3, [61.0] * 3, step=10) == pytest.approx(0.693, abs=5e-4)


def board(folder, **runs):
    """The one board of runs, each the accuracies of densenet over its seeds, made in this order."""
    for day, (name, accuracies) in enumerate(runs.items(), 1):
        entries = [
            contributable(case, accuracy, f"2026-11-{day:02}T00:00:00+00:00") for case, accuracy in zip(LONG, accuracies, strict=False)
        ]  # fmt: skip
        contribute(folder, name, entries)
    [made] = leaderboard.boards(contributed.read_all(folder)[0])
    return made


@pytest.mark.parametrize(
    ("later", "leads"),
    [
        ([72.0, 72.5, 73.0], True),  # by hand: t = 2.5 / sqrt(2 * 0.25 / 3) = 6.12, beyond 2.776, the quantile for 4 degrees
        ([70.5, 71.0, 71.5], False),  # t = 1 / sqrt(2 * 0.25 / 3) = 2.449, below it
        ([90.0, 90.5], False),  # two seeds
        ([65.0, 65.5, 66.0], False),  # surely worse
    ],
)  # fmt: skip
def test_a_later_run_leads_with_three_seeds_and_a_significant_lead(tmp_path, later, leads):
    made = board(tmp_path, before=[69.5, 70.0, 70.5], later=later)
    assert made.leader.run == ("later" if leads else "before")
    assert [entry.mean for entry in made.entries] == sorted((entry.mean for entry in made.entries), reverse=True)


def test_the_order_is_that_in_which_runs_were_made_not_that_of_their_names(tmp_path):
    assert board(tmp_path, z=[69.5, 70.0, 70.5], a=[70.5, 71.0, 71.5]).leader.run == "z"


def test_an_entry_says_how_its_recipe_differs(tmp_path):
    other = [replace(case, schedule="cosine", views=4, recipe="mine") for case in LONG]
    contribute(tmp_path, "plain", [contributable(case) for case in LONG])
    contribute(tmp_path, "mine", [contributable(case, 70.0) for case in other])
    [made] = leaderboard.boards(contributed.read_all(tmp_path)[0])
    assert [entry.name for entry in made.entries] == ["densenet, schedule cosine, views 4", "densenet"]


def test_a_student_of_ones_own_name_is_told_by_its_model(tmp_path):
    entries = [contributable(case) for case in LONG]
    for entry in entries:
        entry.case["student_model"] = {"name": "mobilenetv4_conv_small", "size": None, "pretrained": False}
    contribute(tmp_path, "mine", entries)
    [made] = leaderboard.boards(contributed.read_all(tmp_path)[0])
    assert [entry.name for entry in made.entries] == ["densenet (mobilenetv4_conv_small)"]


def test_nothing_leads_with_fewer_seeds(tmp_path):
    assert board(tmp_path, one=[80.0, 81.0]).leader is None


def test_students_with_and_without_their_teacher_stand_apart_and_random_teachers_nowhere(tmp_path):
    heads = [
        case
        for case in CASES
        if (case.dataset, case.teacher, case.student, case.epochs, case.seed) == ("shapes", "dino", "cbam", 5, 0)
    ]
    random = contributable(LONG[0])
    random.case["control"], random.id = "random-teacher", f"{random.id}-random-teacher"
    contribute(
        tmp_path, "mine", [contributable(LONG[0]), random, *(contributable(case) for case in heads if not case.control)]
    )
    made = leaderboard.boards(contributed.read_all(tmp_path)[0])
    assert [(one.alone, [entry.name for entry in one.entries]) for one in made] == [
        (False, ["cbam"]),
        (True, ["densenet"]),
    ]


def test_a_student_that_learns_labels_alone_is_one_entry_beside_whatever_teacher(tmp_path):
    alone = [
        case
        for case in CASES
        if case.dataset == "shapes" and case.student == "densenet" and case.control and case.epochs == 5
    ]
    assert {case.teacher for case in alone} == {"dino", "beit"}
    contribute(tmp_path, "mine", [contributable(case) for case in alone])
    [made] = leaderboard.boards(contributed.read_all(tmp_path)[0])
    assert [(entry.name, len(entry.lines)) for entry in made.entries] == [("densenet, no distillation", 3)]


def test_the_page_and_the_csv_say_the_same(tmp_path):
    short = [case for case in DENSENET if case.epochs == 5 and case.control is None]
    entries = [contributable(case, 70.0 + case.seed) for case in LONG] + [
        contributable(case, 60.0 + case.seed) for case in short
    ]
    contribute(tmp_path, "mine", entries)
    page, lines = leaderboard.write(contributed.read_all(tmp_path)[0], tmp_path)
    text = page.read_text()
    assert "## shapes: students that replace their teacher" in text and "2,048 training and 500 test images" in text
    # By hand: t = 10 / sqrt(2/3) = 12.25 with 4 degrees of freedom, beyond 8.610, the quantile for p = 0.001.
    assert (
        "| **densenet** (leads) | 71.0 ± 1.0 | 3 | – | 1.75 | logit-matching | 10 | beit@777777777777 | mine |" in text
    )
    assert "| densenet | 61.0 ± 1.0 | 3 | < 0.001 | 1.75 | logit-matching | 5 | beit@777777777777 | mine |" in text
    rows = list(csv.DictReader(lines.read_text().splitlines()))
    assert [(row["leads"], float(row["accuracy (%)"]), row["seeds"]) for row in rows] == [
        ("True", 71.0, "3"),
        ("False", 61.0, "3"),
    ]
