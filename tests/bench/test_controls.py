"""Controls, seeds, losses and recipes as axes: which cases they make, and what they share."""

import pytest

from bench.controls import MEASURED, NAMES
from bench.kit.errors import LocatedError
from bench.plan import matrix


def cases(profile="pocket", **chosen):
    return {case.id: case for case in matrix.cases(matrix.load(), profile, **chosen)}


def test_measured_controls_make_no_cases_and_trained_ones_a_case_each():
    plain, all_of_them = cases(controls=MEASURED), cases(controls=NAMES)
    assert len(all_of_them) == 3 * len(plain)
    assert {case.control for case in plain.values()} == {None}
    for name, case in plain.items():
        assert case.controls == MEASURED
        for control in ("no-distillation", "random-teacher"):
            other = all_of_them[f"{name}-{control}"]
            beside = ("teacher",) if control == "random-teacher" else ()  # the random teacher's own row
            assert (other.control, other.controls) == (control, beside)
            assert other.run_fingerprint != case.run_fingerprint


def test_without_distillation_a_student_has_the_tasks_own_loss():
    trained = [case for case in cases(controls=("no-distillation",)).values() if case.control]
    losses = {case.kind: {one.loss for one in trained if one.kind == case.kind} for case in trained}
    assert losses == {"classification": {"cross-entropy"}, "captions": {"contrastive"}}


def test_a_random_teacher_teaches_with_the_students_loss_and_comes_in_one_block():
    by_id = cases(controls=("random-teacher",))
    blocks = ["random-teacher" in name for name in by_id if name.startswith("scenes-blip")]
    assert blocks == sorted(blocks)
    assert by_id["scenes-blip-cbam-5ep-random-teacher"].loss == by_id["scenes-blip-cbam-5ep"].loss


def test_another_choice_of_measured_controls_measures_again_but_trains_nothing_again():
    one, other = (cases(controls=(name,))["shapes-dino-cbam-5ep"] for name in ("untrained", "raw-pixels"))
    assert one.run_fingerprint == other.run_fingerprint and one.fingerprint != other.fingerprint


def test_several_losses_are_cases_of_one_student():
    by_id = cases("losses")
    assert by_id["shapes-dino-densenet-10ep-rkd"].loss == "rkd"
    assert {case.student for case in by_id.values()} == {"densenet"}
    assert len({case.run_fingerprint for case in by_id.values()}) == len(by_id)


def with_recipes(tmp_path, recipes, **chosen):
    path = tmp_path / "matrix.yaml"
    text = matrix.DEFAULT.read_text().replace("    students: all", f"    students: all\n    recipes: {recipes}", 1)
    path.write_text(text.replace("overrides: {}", "overrides: {resnet: {learning_rate: 2.0e-3}}"))
    return {case.id: case for case in matrix.cases(matrix.load(path), "pocket", path, **chosen)}


def test_recipes_are_cases_of_one_student_and_each_has_its_own_controls(tmp_path):
    """A recipe stands above what a student is otherwise trained with, and the plain one is the profile's."""
    by_id = with_recipes(
        tmp_path, "{plain: {}, slow: {schedule: cosine, ema: 0.99, views: live, learning_rate: 1.0e-4}}", controls=NAMES
    )
    plain = cases(controls=NAMES)
    assert len(by_id) == 2 * len(plain)
    for name, case in plain.items():
        start, control = name.removesuffix(f"-{case.control}"), f"-{case.control}" if case.control else ""
        same, slow = by_id[f"{start}-plain{control}"], by_id[f"{start}-slow{control}"]
        assert (slow.schedule, slow.ema, slow.views, slow.learning_rate) == ("cosine", 0.99, "live", 1e-4)
        assert (same.schedule, same.ema, same.views) == ("constant", None, 1)
        assert (same.fingerprint == case.fingerprint) == (case.student != "resnet")  # which is overridden here
        assert slow.fingerprint != case.fingerprint and slow.control == case.control


def test_a_recipe_is_checked_and_may_not_be_called_like_a_seed(tmp_path):
    for recipes, says in (
        ("{s1: {}}", "should match pattern"),
        ("{slow: {schedule: linear}}", "'constant' or 'cosine'"),
        ("{slow: {ema: 1}}", "less than 1"),
        ("{many: {views: 0}}", "expected a number of views up to 1000, or 'live'"),
        ("{many: {views: true}}", "expected a number of views"),
        ("{many: {views: alive}}", "expected a number of views"),
        ("{slow: {epochs: 3}}", "unknown key 'epochs'"),
        ("{large: {batch_size: 1024}}", "500 samples are fewer than a batch of 1024"),
    ):
        with pytest.raises(LocatedError, match=says):
            with_recipes(tmp_path, recipes)


def test_twins_are_left_out_of_files_and_there_are_none_of_drawn_images(tmp_path):
    path = tmp_path / "matrix.yaml"
    text = matrix.DEFAULT.read_text()
    path.write_text(text.replace("geometry: squash ", "dedupe: true\n    geometry: squash "))
    (case,), (other,) = (matrix.cases(matrix.load(one), "efficientnet-squash") for one in (path, matrix.DEFAULT))
    assert case.dedupe and not other.dedupe and case.run_fingerprint != other.run_fingerprint
    path.write_text(text.replace("    students: all", "    dedupe: true\n    students: all", 1))
    with pytest.raises(LocatedError, match="compares files, but 'shapes' is drawn: leave it out"):
        matrix.load(path)


def test_seeds_of_the_command_line_take_the_place_of_the_profiles():
    by_id = cases(seeds=(3, 4), controls=("no-distillation",))
    assert {case.seed for case in by_id.values()} == {3, 4}
    assert "shapes-dino-cbam-5ep-s4-no-distillation" in by_id


def test_what_the_command_line_says_is_read():
    assert matrix.chosen("0,2,1", "all") == ((0, 2, 1), NAMES)
    assert matrix.chosen(None, "none") == (None, ())
    assert matrix.chosen(None, "raw-pixels,untrained") == (None, ("untrained", "raw-pixels"))


@pytest.mark.parametrize(
    ("seeds", "controls", "says"),
    [
        ("", None, "expected different whole numbers"),
        ("1,1", None, "expected different whole numbers"),
        ("1,-2", None, "expected different whole numbers"),
        (None, "untraned", "did you mean 'untrained'"),
        (None, "", "unknown control ''"),
    ],
)
def test_nonsense_on_the_command_line_is_an_error_message(seeds, controls, says):
    with pytest.raises(LocatedError, match=says):
        matrix.chosen(seeds, controls)


def test_random_teachers_have_no_random_control():
    with pytest.raises(LocatedError, match="teachers are random already"):
        cases("sample", controls=("untrained", "random-teacher"))
