"""Views: the teacher's features are of the very pixels that the student sees, stored or live."""

import shutil

import pytest
import torch
import torchvision.transforms.functional as of_torchvision

import teachers
from bench import data
from bench.data import views
from bench.features.extract import StoreError, extract
from bench.features.views import Stored, trained_on
from bench.kit.array_store.layout import read_journal
from tests.bench.counting import Counting
from tests.bench.features.passes import TEST, TRAIN, Changed, assert_close, work
from tests.bench.training.runs import case, finish, same
from tests.bench.training.runs import features as made_up
from tests.bench.training.runs import run as training

SHAPES = data.load("shapes", "train", 40), data.load("shapes", "test", 16)
RESNET, HEAD = "shapes-dino-resnet-5ep", "shapes-dino-projection-5ep"


@pytest.fixture(scope="module")
def dino():
    return teachers.load("dino", "pocket")


def asked(teacher):
    return extract(work(teacher, text_tokens=False, name="shapes-dino"), *SHAPES)


def test_stored_features_of_a_view_are_the_teachers_of_the_augmented_pixels(dino):
    """Augmented by torchvision, one image at a time; without colours it rounds as the suite does."""
    stored = trained_on(case(RESNET, views=3), asked(dino))
    numbers = views.several(3, SHAPES[0])
    for row in (0, 39, 40, 119):
        top, left, height, width, flip, *factors = numbers[row].tolist()
        image = SHAPES[0].pixels[row % 40] / 255
        image = of_torchvision.resized_crop(image, int(top), int(left), int(height), int(width), [32, 32])
        image = of_torchvision.hflip(image) if flip else image
        adjust = of_torchvision.adjust_brightness, of_torchvision.adjust_contrast, of_torchvision.adjust_saturation
        for change, factor in zip(adjust, factors, strict=True):
            image = change(image, factor)
        live = dino.image((255 * image).round()[None])
        for name, expected in (("pooled", live.pooled), ("joint", live.joint), ("attention", live.attention)):
            torch.testing.assert_close(stored.arrays[name][row].float(), expected[0], atol=0.02, rtol=0.02)


@pytest.mark.parametrize("count", [3, "live"])
def test_teacher_and_student_see_the_same_pixels_before_each_resizes_them(dino, count):
    """The teacher is larger here, and sees 32 pixels as the student does."""
    seen = []
    teacher = Changed(dino, image=lambda pixels: (seen.extend(pixels), dino.image(pixels))[1])
    trained = trained_on(case(RESNET, views=count), asked(teacher))
    stored = seen[-120:]  # in the order of the store, after the example that tells shapes
    for epoch in (1, 2):
        seen.clear()
        chosen = trained.rows(torch.arange(40).flip(0), epoch)
        batch = trained.batch(chosen[4:12], None, "pixels", "pooled", ("joint", "labels"))
        shown = [stored[row] for row in chosen.cpu[4:12]] if count == 3 else seen
        assert torch.equal(batch.inputs, torch.stack(shown)) and batch.inputs.dtype == torch.uint8
        assert torch.equal(batch.labels, SHAPES[0].labels.flip(0)[4:12])
        assert_close(batch.joint, dino.image(batch.inputs).joint)


def test_an_epoch_has_one_view_of_each_image_and_several_have_all():
    stored = Stored(made_up(captions=False), {"joint": torch.zeros(120, 9)}, 0.0, 3)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(0))
    drawn = [stored.rows(order, epoch).cpu for epoch in (1, 2, 3)]
    for one in drawn:
        assert torch.equal(one % 40, order)
        assert set((one // 40).tolist()) == {0, 1, 2}  # of all images together
    assert torch.cat(drawn).unique().numel() == 120


def test_live_views_are_new_in_each_epoch_and_with_each_seed_and_the_teacher_is_asked_no_more_than_it_has_to(dino):
    teacher = Counting(dino)
    features = asked(teacher)
    seen = []
    for seed, epoch in ((0, 1), (0, 2), (1, 1), (0, 1)):
        live = trained_on(case(RESNET, views="live", seed=seed), features)
        teacher.images = 0
        seen.append(live.batch(live.rows(torch.arange(8), epoch), None, "pixels", "pooled", ("labels",)).inputs)
        assert teacher.images == 0
    first, *others, again = seen
    assert torch.equal(first, again) and not any(torch.equal(first, other) for other in others)
    live.batch(live.rows(torch.arange(8), 1), None, "tokens", "pooled", ("joint", "attention"))
    assert teacher.images == 8


def test_a_student_that_asks_no_teacher_has_the_same_views_without_a_pass(dino):
    teacher = Counting(dino)
    features = asked(teacher)
    distilled, alone = (case(RESNET, views=3, loss=loss) for loss in ("logit-matching", "cross-entropy"))
    asking = trained_on(distilled, features)
    teacher.images = 0
    asked_nothing = trained_on(alone, features)
    assert teacher.images == 0
    for epoch in (1, 2):
        batches = [
            one.batch(one.rows(torch.arange(8), epoch), None, "pixels", "pooled", ("labels",))
            for one in (asking, asked_nothing)
        ]
        assert torch.equal(batches[0].inputs, batches[1].inputs)


def test_a_pass_over_views_asks_once_resumes_shard_by_shard_and_is_checked_by_rows_of_any_view(clip, folder):
    teacher = Counting(clip)
    features = extract(work(teacher), TRAIN, TEST)
    teacher.images = 0
    arrays, seconds = features.views(3)
    assert teacher.images == 3 * 20 + 1 and seconds > 0  # and an example
    [store] = folder.glob("*/views-3")
    journal, lines = store / "journal.jsonl", (store / "journal.jsonl").read_text().splitlines(keepends=True)
    assert len(read_journal(journal)) == 8  # of 8 rows each
    journal.write_text("".join(lines[:5]))
    kept = {name: array.clone() for name, array in arrays.items()}
    teacher.images = 0
    again, _ = features.views(3)
    assert teacher.images == 60 - 40 + 1 + 16 and all(torch.equal(again[name], kept[name]) for name in kept)
    other = views.render
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(views, "render", lambda pixels, numbers: other(pixels, numbers).flip(-1))
        with pytest.raises(StoreError, match=r"views-3 \(key \w+\) do not agree with the live teacher"):
            features.views(3)
    shutil.rmtree(store)


@pytest.mark.parametrize("name", [RESNET, HEAD, "scenes-clip-cbam-5ep"])
@pytest.mark.parametrize("count", [2, "live"])
def test_a_run_on_views_learns_resumes_and_streams_to_the_bit(dino, clip, tmp_path, monkeypatch, name, count):
    chosen = case(name, views=count, epochs=3, loss="logit-matching", schedule="cosine", warmup_steps=1)
    teacher, splits = (clip, (TRAIN, TEST)) if name.startswith("scenes") else (dino, SHAPES)
    features = extract(work(teacher, name=name), *splits)

    def run(place):
        return training(tmp_path / place, chosen, data=trained_on(chosen, features), width=features.train.width)

    whole = run("whole")
    weights = finish(whole)
    part = run("part")
    part.epoch(), part.save({})
    assert same(weights, finish(run("part")))
    plain = training(
        tmp_path / "plain",
        case(name, epochs=3, loss="logit-matching", schedule="cosine", warmup_steps=1),
        data=features.train,
        width=features.train.width,
    )
    assert not same(weights, finish(plain))
    monkeypatch.setattr("bench.features.columns.free_bytes", lambda device: 0)
    for held in (features.train, features.test):
        held.only()
    streamed = run("streamed")
    assert not streamed.resident and same(weights, finish(streamed))


def test_teacher_and_student_see_the_same_mixed_pixels_and_labels_are_shares(dino):
    """Mixed by hand from the live views of the same epoch."""
    seen = []
    teacher = Changed(dino, image=lambda pixels: (seen.append(pixels), dino.image(pixels))[1])
    features = asked(teacher)
    plain, trained = (trained_on(case(RESNET, views="live", mixup=mixup), features) for mixup in (None, 0.2))
    order = torch.arange(40).flip(0)
    alone, both = (
        one.batch(one.rows(order, 3)[4:12], None, "pixels", "pooled", ("labels", "joint")) for one in (plain, trained)
    )
    share = trained.shares[order[4:12]]
    own = share.view(8, 1, 1, 1) * alone.inputs + (1 - share.view(8, 1, 1, 1)) * alone.inputs.flip(0)
    assert both.inputs.dtype == torch.uint8 and (both.inputs - own).abs().max() <= 0.5001
    assert torch.equal(seen[-1], both.inputs)
    assert_close(both.joint, dino.image(both.inputs).joint)
    for row, (label, other) in enumerate(zip(alone.labels, alone.labels.flip(0), strict=True)):
        expected = torch.zeros(len(SHAPES[0].classes))
        expected[label] += share[row]
        expected[other] += 1 - share[row]
        torch.testing.assert_close(both.labels[row], expected)


def test_shares_are_of_a_beta_distribution_and_follow_from_the_number():
    shares = views.shares(20000, 0.2, 7)
    assert torch.equal(shares, views.shares(20000, 0.2, 7)) and not torch.equal(shares, views.shares(20000, 0.2, 8))
    expected = 0.2 * 0.2 / (0.4**2 * 1.4)  # a b / ((a + b)^2 (a + b + 1))
    assert shares.mean().item() == pytest.approx(0.5, abs=0.01) and shares.var().item() == pytest.approx(
        expected, rel=0.03
    )


@pytest.mark.parametrize("count", [2, "live"])
def test_patches_of_views_are_the_teachers_of_the_same_pixels(dino, count):
    """As a loss on patches reads them."""
    trained = trained_on(case(RESNET, views=count), asked(dino))
    batch = trained.batch(trained.rows(torch.arange(40), 1)[:4], None, "pixels", "pooled", ("joint", "tokens"))
    assert_close(batch.tokens[:, 1:], dino.image(batch.inputs).patches)
    assert trained.width == batch.tokens.shape[2] and trained.joint.shape[0] == 40
