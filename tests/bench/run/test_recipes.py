"""The profile that compares recipes, in its smallest form: every recipe and its control run to a record and a row."""

import yaml

from bench.plan import matrix
from bench.report import pages
from bench.report.content import Report
from tests.bench.run.test_kinds import run

RECIPES = yaml.safe_load(matrix.DEFAULT.read_text())["profiles"]["recipes-pocket"]["recipes"]
CONTROLS = ["untrained", "teacher", "no-distillation"]


def test_each_recipe_stands_beside_the_same_without_distillation_at_equal_steps(tmp_path, little_measured):
    entries = run(
        tmp_path,
        {"shapes": ["dino"]},
        profile={"students": ["resnet"], "recipes": RECIPES, "controls": CONTROLS},
    )
    assert {(case.recipe, case.control) for case in entries} == {
        (recipe, control) for recipe in RECIPES for control in (None, "no-distillation")
    }
    assert all(entry.status == "done" and len(entry.curve) == 2 for entry in entries.values())
    by_id = {case.id: entry for case, entry in entries.items()}
    for recipe, options in RECIPES.items():
        for control in ("", "-no-distillation"):
            facts = by_id[f"shapes-dino-resnet-1ep-{recipe}{control}"].case
            defaults = {"schedule": "constant", "ema": None, "views": 1}
            assert {name: facts[name] for name in defaults} == defaults | options
    # The teacher's pass over views is counted where there are some.
    passes = {case.recipe: entry.metrics["teacher_pass_seconds"] for case, entry in entries.items() if not case.control}
    assert passes["plain"] == passes["averaged"] < passes["views-4"] == passes["together"]
    text = pages.page(Report("p", list(entries.items())))
    for recipe in RECIPES:
        own, other = (by_id[f"shapes-dino-resnet-1ep-{recipe}{ending}"] for ending in ("", "-no-distillation"))
        gain = own.metrics["knn_top1"] - other.metrics["knn_top1"]
        assert f"| resnet ({recipe}) | 1 | {own.metrics['knn_top1']:.1f} |" in text
        assert f" {gain:+.1f} |".replace("-", "−") in next(
            line for line in text.splitlines() if line.startswith(f"| resnet ({recipe}) | 1 ")
        )
    assert "* Recipe of cosine-rate: the rate falls to 0 along a cosine.\n" in text
    assert "* Recipe of together: the rate falls" in text and "Recipe of plain" not in text
