"""The speed report: the same epoch on stored features and with the teacher in the loop, and its ratios."""

import re

import pytest
import torch

from bench import __main__ as command
from bench import places, speed
from bench.data import load
from bench.features import Rows
from bench.progress import Progress
from bench.teacher_pass import distil
from bench.teacher_pass.ask import Needs, Pass
from teachers import load as load_teacher


def test_the_teacher_in_the_loop_says_what_is_stored():
    device = torch.device("cpu")
    quiet, needs = Progress(None), Needs(True, False)
    work = Pass("alone", load_teacher("dino", "pocket"), device, "fp32", needs, quiet.say, quiet.task)
    stored = distil(work, load("shapes", "train", 40), load("shapes", "test", 8)).train
    live, rows = speed.LiveFeatures(stored, work), Rows(torch.tensor([3, 39, 0]), device)
    for reads in ("pooled", "tokens"):
        kept, now = (features.batch(rows, None, reads, "pooled") for features in (stored, live))
        for first, other in zip(kept.tensors(), now.tensors(), strict=True):
            assert torch.allclose(first, other, rtol=2e-3, atol=2e-3)


def test_both_ratios_are_reported_and_nothing_is_left_behind():
    before = places.data_folder()
    text = speed.report("dino", "pocket", 64, "cpu", "fp32")
    assert re.search(r"bare forward loop [\d.]+ s, teacher's pass into the store [\d.]+ s: ratio [\d.]+", text)
    assert re.findall(r"^(\w+): an epoch of 64 images", text, re.MULTILINE) == list(speed.HEADS)
    assert places.data_folder() == before
    assert not list((before / "features").glob("speed-dino-*"))


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--images", "0"], "expected a whole number from 1 to 1000000, not '0'"), (["--images=-3"], "not '-3'"),
        (["--images", "9" * 5000], "expected a whole number"), (["--images", "1.5"], "not '1.5'"),
        (["--precision", "zz"], "invalid choice: 'zz'"),
    ],
)  # fmt: skip
def test_options_that_cannot_be_are_usage_errors(words, says, capsys):
    with pytest.raises(SystemExit) as ended:
        command.main(["speed", *words])
    assert ended.value.code == 2 and says in capsys.readouterr().err


def test_a_single_image_is_enough():
    assert "an epoch of 1 images" in speed.report("dino", "pocket", 1, "cpu", "fp32")


def test_weights_that_a_teacher_has_not_are_the_users_error(capsys):
    assert command.main(["speed", "--teacher", "efficientnet", "--weights", "pocket"]) == 2
    assert "teacher efficientnet has no pocket weights" in capsys.readouterr().err
