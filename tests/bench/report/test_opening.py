"""The first lines of a report: what its teachers are."""

from dataclasses import replace

from bench.plan import matrix
from bench.report.opening import KNOWN, WEIGHTS, label
from tests.bench.made import made


def test_teachers_of_every_kind_are_named():
    cases = {case.dataset: case for case in matrix.cases(matrix.load(), "pocket")}
    shapes, scenes = ((cases[name], None) for name in ("shapes", "scenes"))
    real, full = replace(cases["shapes"], dataset="tiny-imagenet"), replace(cases["shapes"], teacher="beit")
    assert label([shapes, scenes]) == WEIGHTS["pocket"]
    assert label([(real, made(cases["shapes"]))]) == WEIGHTS["pocket on real images"]
    assert label([shapes, scenes, (real, None)]) == (
        f"On shapes and scenes: {WEIGHTS['pocket']} On tiny-imagenet: {WEIGHTS['pocket on real images']}"
    )
    full = replace(full, weights="pretrained")
    assert label([(full, None), (full, None)]) == f"{WEIGHTS['pretrained']} {KNOWN['beit']}"
