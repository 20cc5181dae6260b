"""What came after the paper's ten epochs."""

from bench.plan import matrix
from bench.report import longer
from bench.report.content import Report
from tests.bench.made import made

CURVE = [10.0, 30.0, 50.0, 48.0, 52.0, 53.0, 54.0, 55.0, 55.5, 56.0, 57.0, *[60.0 + 0.3 * step for step in range(90)]]


def section(profile, seeds=(0,), done=True):
    cases = []
    for case in matrix.cases(matrix.load(), profile, seeds=seeds):
        if case.run.startswith("shapes-dino-resnet"):
            curve = [{"epoch": epoch, "knn_top1": CURVE[epoch] + case.seed} for epoch in range(case.epochs + 1)]
            cases.append((case, made(case, curve=curve) if done else None))
    return longer.section(Report(profile, cases))


def test_only_the_longest_training_is_shown_with_its_gain_over_the_papers():
    text = section("long")
    assert "| best on the way | within 1 point from epoch |" in text
    assert [line for line in text.splitlines() if line.startswith("| resnet")] == [
        "| resnet of dino on shapes, 100 epochs | 57.0 | 86.7 | +29.7 | 86.7 | 97 |"
    ]


def test_over_seeds_it_is_a_mean_with_its_spread():
    assert "| 57.5 ± 0.7 | 87.2 ± 0.7 | **+29.7 ± 0.0** |" in section("long", seeds=(0, 1))


def test_a_profile_that_trains_no_longer_than_the_paper_says_nothing():
    assert section("pocket") == "" and section("long", done=False) == ""


def test_near_the_end_looks_at_what_follows():
    assert longer.near_the_end([0.0, 10.0, 5.0, 9.5, 10.0]) == 3
    assert longer.near_the_end([10.0, 10.0]) == 0 and longer.near_the_end([1.0, 10.0]) == 1
