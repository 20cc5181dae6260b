"""Recipes that make no sense are refused where they are planned."""

import pytest

from bench.kit.errors import LocatedError
from tests.bench.plan.matrices import planned


@pytest.mark.parametrize(
    ("pairs", "changes", "message"),
    [
        ({"shapes": ["dino"]}, {"mixup": 0.2}, "stored views are not mixed: expected views: live, not 1"),
        ({"shapes": ["dino"]}, {"mixup": 0.2, "views": 4}, "expected views: live, not 4"),
        ({"scenes": ["clip"]}, {"mixup": 0.2, "views": "live"}, "mixup mixes images, and not their captions"),
        ({"shapes": ["dino"]}, {"mixup": 0, "views": "live"}, "mixup: Input should be greater than 0"),
    ],
)
def test_mixed_images_need_a_teacher_that_is_asked_of_them(tmp_path, pairs, changes, message):
    with pytest.raises(LocatedError, match=message):
        planned(tmp_path, pairs, recipes={"mixed": changes})


def test_a_loss_of_one_class_an_image_is_refused_where_images_are_mixed(tmp_path):
    recipes = {"mixed": {"mixup": 0.2, "views": "live"}}
    with pytest.raises(LocatedError, match="loss 'dkd' needs one class an image, and mixup gives two"):
        planned(tmp_path, {"shapes": ["dino"]}, recipes=recipes, losses={"classification": ["dkd"]})


def test_several_teachers_have_no_patches_in_common(tmp_path):
    changes = {"students": ["resnet"], "losses": {"classification": ["patch-matching"]}}
    with pytest.raises(LocatedError, match=r"compares tokens, which 'dino\+beit' do not have in common: give 'resnet'"):
        planned(tmp_path, {"shapes": [["dino", "beit"]]}, **changes)
