"""What cases that were never run will take, by trial steps."""

from dataclasses import replace

import pytest
import torch

from bench.plan import matrix
from bench.run import estimate, preview, session
from teachers.libraries import describe
from tests.breadth import some


def cases(file, profile, **facts):
    all_of = matrix.cases(matrix.load(file), profile, file)
    return [case for case in all_of if all(getattr(case, name) == value for name, value in facts.items())]


@pytest.fixture
def a_second_each(monkeypatch):
    """Every trial step takes a second, by the clock of the test."""
    monkeypatch.setattr(estimate, "_seconds", lambda call, device: (1.0, call()))


def trial_seconds(several, advance):
    return estimate.trials(several, advance).seconds


def test_a_teacher_is_tried_once_and_a_longer_case_goes_on_from_a_shorter(tiny_matrix, a_second_each):
    """By hand, for 128 training and 70 test images, steps of 8 images of the teacher and of a batch of 32 of a head.

    Costs are measured on 128 images: of the teacher, and of each head with it. A head is scored before its first epoch, too.
    """
    shown = []
    seconds = trial_seconds(cases(tiny_matrix, "tiny", dataset="shapes"), lambda done, of: shown.append((done, of)))
    teacher, scored, rest = (128 + 70) / 8 + 128 / 8, (128 + 70) / 32, 2.0
    epoch, first = 128 / 32 + scored, scored + 128 / 8 + 128 / 32
    assert seconds == pytest.approx({
        "shapes-dino-projection-1ep": teacher + first + epoch + rest, "shapes-dino-projection-2ep": epoch + rest,
        "shapes-dino-cbam-1ep": first + epoch + rest, "shapes-dino-cbam-2ep": epoch + rest,
    })  # fmt: skip
    assert shown == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_what_is_trained_beside_another_teacher_costs_no_epochs_again(a_second_each):
    of_profile = cases(matrix.DEFAULT, "pocket", dataset="shapes", student="densenet", control="no-distillation")
    assert {case.teacher for case in of_profile} == {"dino", "beit"} and len({case.run for case in of_profile}) == 1
    seconds = trial_seconds(of_profile, lambda done, of: None)
    passed = (2048 + 500 + 128) / 8
    assert seconds["shapes-dino-densenet-10ep-no-distillation"] > 100
    assert seconds["shapes-beit-densenet-5ep-no-distillation"] == pytest.approx(passed + 2)
    assert seconds["shapes-beit-densenet-10ep-no-distillation"] == pytest.approx(2)


def test_a_student_of_pixels_and_a_head_on_reduced_features_are_tried_as_they_run(a_second_each):
    """blip has 96 numbers, of which students read 64; a batch of pixels at 32 px is 64 images."""
    of_profile = cases(matrix.DEFAULT, "ci", dataset="scenes", control=None)
    seconds = trial_seconds(of_profile, lambda done, of: None)
    expected, first = 2048 / 64 + 2548 / 64, (2548 + 128) / 64
    assert seconds["scenes-blip-densenet-4ep"] == pytest.approx(first + 4 * expected + 2)


def test_views_have_passes_of_their_own_and_live_ones_the_teacher_in_each_step(a_second_each):
    """Of 2,048 images: four stored views, and new ones in each of 20 epochs; both beside the images as they are."""
    [stored] = cases(matrix.DEFAULT, "recipes-pocket", recipe="views-4", control=None)
    live = replace(stored, views="live", recipe="views-live")
    plain = replace(stored, views=1, recipe="plain")
    four, asked, none = (sum(trial_seconds([case], lambda *_: None).values()) for case in (stored, live, plain))
    assert (four - none, asked - none) == pytest.approx((4 * 2048 / 8, 20 * 2048 / 8))


@pytest.mark.parametrize(("own", "workers", "threads"), [(1, 1, 1), (None, 1, 4), (None, 3, 1), (2, 4, 2)])
def test_steps_have_the_threads_of_a_case_among_so_many_on_four_cores(tiny_matrix, monkeypatch, own, workers, threads):
    seen, before = set(), torch.get_num_threads()
    monkeypatch.setattr(session, "usable_cores", lambda: 4)
    monkeypatch.setattr(
        estimate, "_seconds", lambda call, device: (seen.add(torch.get_num_threads()), (1.0, call()))[1]
    )
    torch.set_num_threads(4)
    try:
        chosen = cases(tiny_matrix, "tiny", dataset="shapes", epochs=1)
        estimate.trials([replace(one, threads=own) for one in chosen], lambda done, of: None, "cpu", workers)
        assert torch.get_num_threads() == 4
    finally:
        torch.set_num_threads(before)
    assert seen == {threads}


def test_scoring_more_images_costs_more(monkeypatch):
    """By hand, at 64 numbers: a pair costs 1.5 + 64 x 0.017 = 2.588 ns, and 5 epochs have 6 points; two probes of two classes."""
    chosen = cases(matrix.DEFAULT, "real-pocket")[0]
    monkeypatch.setattr(estimate.prepared, "index", lambda source, split: {"classes": ["one", "two"]})
    expected = 6 * 5e8 * 2.588e-9 + 2 * 300 * 1e6 * 64 * 2 * 1.5e-10
    assert chosen.epochs == 5 and estimate._scoring(chosen, 1_000_000, 500) == pytest.approx(expected)


def test_what_is_not_prepared_stays_unknown(a_second_each):
    assert trial_seconds(cases(matrix.DEFAULT, "sample", epochs=5), lambda done, of: None) == {}


def test_the_plan_says_which_times_are_of_trial_steps(tiny_matrix, tmp_path):
    two = tuple(cases(tiny_matrix, "tiny", student="cbam", epochs=1))
    text = preview.describe(
        two, tmp_path, "tiny", trials=lambda unknown: estimate.Trials({unknown[0].id: 12.0}, 2_500_000_000)
    )
    lines = text.splitlines()
    assert lines[1].endswith("about  12.0 s, by trial steps") and lines[2].endswith("time unknown")
    assert lines[3].endswith(
        "about 12 s and 1 case of unknown length, by trial steps; features of what was never run take about 2.50 GB"
    )


@pytest.mark.parametrize(
    "name", some(["crossvit_tiny_240", "vit_tiny_patch16_224"], ["crossvit_tiny_240"])
)  # the first has no grid of patches
def test_a_teacher_of_a_library_is_tried(tmp_path, a_second_each, name):
    """Its pooled feature and its joint embedding, which are equally wide, are stored in half precision."""
    path = tmp_path / "matrix.yaml"
    text = matrix.DEFAULT.read_text().replace("teachers: {}", f"teachers: {{mine: {{timm: {name}}}}}", 1)
    profile = "  mine: {weights: random, pairs: {shapes: [mine]}, students: [projection], epochs: [1], seeds: [0], samples: {train: 128, test: 64}, widths: {embedding: 64, bottleneck: 32, trunk: pocket}}\n"
    path.write_text(text.replace("profiles:\n", f"profiles:\n{profile}", 1))
    [case] = cases(path, "mine")
    trial = estimate.trials([case], lambda done, of: None)
    assert trial.seconds[case.id] > 0 and trial.stored % (2 * (128 + 64)) == 0
    assert trial.stored // (2 * (128 + 64)) == 2 * describe(case.teacher_model).width


def test_disk_is_what_a_pass_writes(a_second_each):
    """dino's pocket model is 96 wide and sees 16 patches of 32 px; half precision. A pass of ``pocket`` wrote 9,376,640 bytes."""
    of_teacher = {"dataset": "shapes", "teacher": "dino"}
    pocket = cases(matrix.DEFAULT, "pocket", epochs=5, **of_teacher)
    with_tokens = (96 + 17 * 96 + 96 + 16) * 2
    assert estimate.trials(pocket, lambda done, of: None).stored == with_tokens * (2048 + 500) == 9_376_640
    recipes = cases(matrix.DEFAULT, "recipes-pocket", **of_teacher)
    without = (96 + 96 + 16) * 2
    assert estimate.trials(recipes, lambda done, of: None).stored == without * (
        5 * 2048 + 500
    )  # and four views of each
