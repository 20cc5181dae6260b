"""Which part of a gain is whose, reckoned by hand, and what it cost."""

from dataclasses import replace

from bench.plan import matrix
from bench.report import pages, plots, recipes
from bench.report.content import Report
from bench.report.themes import LIGHT
from tests.bench.made import made
from tests.bench.report.test_plots import drawn_in

# In percent by (recipe, control), one for each seed.
ACCURACY = {
    ("plain", None): (60.0, 61.0, 62.0),
    ("plain", "no-distillation"): (58.0, 59.0, 60.0),
    ("views-4", None): (71.0, 72.0, 73.0),
    ("views-4", "no-distillation"): (68.0, 69.5, 70.5),
}


def report(profile="recipes-pocket", known=ACCURACY):
    """Epochs of 0.4 s; a teacher's pass of 3 s, of 12 s where there are views."""
    chosen = []
    for case in matrix.cases(matrix.load(), profile, seeds=(0, 1, 2)):
        accuracy = known.get((case.recipe, case.control))
        passes = {"teacher_pass_seconds": 12.0 if case.recipe == "views-4" else 3.0}
        chosen.append((case, accuracy and made(case, accuracy[case.seed], metrics=passes)))
    return Report(profile, chosen)


def test_a_gain_is_divided_between_the_recipe_and_the_teacher():
    plain, views = recipes.parts(report())
    assert plain.recipe is None and plain.teacher.mean == 2.0
    # 10.0, 10.5 and 10.5 without a teacher; 3.0, 2.5 and 2.5 on top with it.
    assert (views.recipe.text(), views.teacher.text()) == ("10.3 ± 0.3", "2.7 ± 0.3")
    assert (plain.seconds, views.seconds) == (3.0 + 20 * 0.4, 12.0 + 20 * 0.4)


def test_a_row_has_both_parts_and_the_cost():
    text = recipes.section(report())
    row = "| 20 | 72.0 ± 1.0 | 69.3 ± 1.3 | **+10.3 ± 0.3** | **+2.7 ± 0.3** | 12.0 ± 0.0 | 8.0 |"
    assert f"| resnet (views-4) of dino on shapes {row}" in text and "gains there over `plain`" in text
    assert "| resnet (plain) of dino on shapes | 20 | 61.0 ± 1.0 | 59.0 ± 1.0 | – | **+2.0 ± 0.0** |" in text


def test_a_recipe_is_compared_with_the_first_of_as_many_epochs():
    shorter = report()
    longer = [
        (
            replace(case, epochs=30),
            record and made(replace(case, epochs=30), ACCURACY[case.recipe, case.control][case.seed]),
        )
        for case, record in shorter.cases
        if (case.recipe, case.control) != ("plain", "no-distillation")
    ]
    both = Report("recipes-pocket", shorter.cases + longer)
    of_views = [one for one in recipes.parts(both) if one.row.case.recipe == "views-4"]
    assert [(one.row.case.epochs, one.recipe and one.recipe.mean) for one in of_views] == [(20, 31 / 3), (30, None)]
    assert [one.teacher.mean for one in of_views] == [8 / 3, 8 / 3]
    text = recipes.section(both)
    assert "| resnet (views-4) of dino on shapes | 30 | 72.0 ± 1.0 | 69.3 ± 1.3 | – | **+2.7 ± 0.3** |" in text


def test_costs_stand_in_a_plot(tmp_path):
    assert plots.costs(report(), tmp_path / "costs.svg", LIGHT) is True
    names, texts = drawn_in(tmp_path / "costs.svg")
    assert {"shapes-dino-resnet-(plain)", "shapes-dino-resnet-(views-4)"} <= names
    assert {"resnet (plain)", "resnet (views-4)", "without teacher"} <= set(texts)


def test_a_recipe_without_its_counterpart_has_no_parts():
    alone = {key: value for key, value in ACCURACY.items() if key != ("views-4", "no-distillation")}
    assert [one.row.case.recipe for one in recipes.parts(report(known=alone))] == ["plain"]


def test_a_profile_without_recipes_says_nothing_of_them(tmp_path):
    other = report("losses", {(None, None): (60.0, 61.0, 62.0)})
    assert other.done and recipes.section(other) == "" and not plots.costs(other, tmp_path / "costs.svg", LIGHT)
    assert "is whose" not in pages.page(other) and not (tmp_path / "costs.svg").exists()
