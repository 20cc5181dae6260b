"""The PCA against independent computations; fitted once, on the training split, and read back to the bit."""

import json

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

import teachers
from bench import data
from bench.features import reduction
from bench.features.extract import extract
from bench.features.forward import keyed, weights_digest
from bench.features.reduction import fit_pca
from tests.bench.counting import Counting
from tests.bench.features import passes

TRAIN, TEST = data.load("scenes", "train", 24), data.load("scenes", "test", 6)


@pytest.fixture(scope="module")
def blip():
    return teachers.load("blip", "pocket")


def work(teacher, log=None):
    return passes.work(teacher, log=log, name="scenes-blip")


def reduction_file(folder):
    return next(folder.glob("*/reduction.safetensors"))


@pytest.mark.parametrize(("count", "width"), [(200, 1), (200, 5), (200, 12), (8, 7)])
def test_pca_against_scikit_learn(count, width):
    """Signs aside, which do not depend on the solver here: the largest entry of a component is positive."""
    torch.manual_seed(0)
    rows = torch.randn(count, 12) @ torch.randn(12, 12) + 7
    ours, oracle = fit_pca(rows, width), PCA(width).fit(rows.double().numpy())
    assert ours.explained_variance == pytest.approx(oracle.explained_variance_ratio_.sum(), rel=1e-9)
    theirs = torch.tensor(oracle.transform(rows.double().numpy()), dtype=torch.float32)
    mine = ours(rows).detach()
    signs = (mine * theirs).sum(dim=0).sign()
    assert torch.allclose(mine, theirs * signs, atol=1e-4)
    assert (ours.weight.gather(1, ours.weight.abs().argmax(dim=1)[:, None]) > 0).all()


def test_blips_features_are_reduced_by_a_pca_of_the_training_split(blip):
    features = extract(work(blip), TRAIN, TEST)
    train, test = features.train._sources, features.test._sources
    assert features.train.width == train["text_pooled"].shape[1] == test["text_tokens"].shape[1] == 64
    assert 0.5 < features.image_pca.explained_variance <= 1 and 0.5 < features.text_pca.explained_variance <= 1
    assert features.train.joint.shape[1] == 64 and features.image_pca is not features.text_pca
    images, texts = blip.image(TEST.pixels), blip.text(TEST.captions)
    for stored, live, pca in (
        (test["pooled"], images.pooled, features.image_pca),
        (test["tokens"][:, 1:], images.patches, features.image_pca),
        (test["text_pooled"], texts.pooled, features.text_pca),
    ):
        assert torch.allclose(stored.float(), pca(live), atol=5e-3, rtol=1e-3)
    exchanged = extract(work(blip), TEST, TRAIN)
    assert not torch.equal(exchanged.image_pca.weight, features.image_pca.weight)


def test_it_is_fitted_on_a_sample_of_the_training_splits_tokens(blip, monkeypatch):
    """Explained variance of what was drawn, by numpy, and of all tokens: about the same."""
    drawn = []
    monkeypatch.setattr(reduction, "fit_pca", lambda rows, width: drawn.append(rows) or fit_pca(rows, width))
    features = extract(work(blip), TRAIN, TEST)
    assert [len(rows) for rows in drawn] == [2 * 85 * 24] * 2  # 4096 / 24 tokens of each, half of them the pooled one
    for rows, pca in zip(drawn, (features.image_pca, features.text_pca), strict=True):
        values = rows.double().numpy()
        singular = np.linalg.svd(values - values.mean(axis=0), compute_uv=False) ** 2
        assert pca.explained_variance == pytest.approx(singular[:64].sum() / singular.sum(), rel=1e-6)
    patches = blip.image(TRAIN.pixels).patches.flatten(0, 1)
    restored = features.image_pca(patches) @ features.image_pca.weight + drawn[0].mean(dim=0)
    lost = (patches - restored).square().sum() / (patches - patches.mean(dim=0)).square().sum()
    assert lost < 2 * (1 - features.image_pca.explained_variance) + 0.05


def test_it_is_fitted_once_and_read_back_to_the_bit(blip, monkeypatch):
    first = extract(work(blip), TRAIN, TEST)
    monkeypatch.setattr(reduction, "fit_pca", None)
    second = extract(work(blip), TRAIN, TEST)
    for name in ("image_pca", "text_pca"):
        one, other = getattr(first, name), getattr(second, name)
        assert torch.equal(one.weight, other.weight) and torch.equal(one.bias, other.bias)
        assert one.explained_variance == other.explained_variance
    assert second.seconds == first.seconds


@pytest.mark.parametrize("harm", [lambda content: content[:-9] + b"\x01" + content[-8:], lambda content: b"{"])
def test_a_damaged_one_is_noticed_and_fitted_again_to_the_bit(blip, folder, harm):
    teacher, log = Counting(blip), []
    first, images = extract(work(teacher), TRAIN, TEST), teacher.images
    path = reduction_file(folder)
    path.write_bytes(harm(path.read_bytes()))
    second = extract(work(teacher, log), TRAIN, TEST)
    assert len(log) == 1 and "reduction.safetensors is damaged; the reduction is fitted again" in log[0]
    assert torch.equal(first.image_pca.weight, second.image_pca.weight)
    assert torch.equal(first.text_pca.bias, second.text_pca.bias)
    # The fit, examples and samples: the features are still good.
    assert teacher.images == images + len(TRAIN) + 2 + 16 + 6


def test_features_of_another_reduction_are_not_used(blip, folder, monkeypatch):
    """Where fitting again gave something else, by another library perhaps, all features are features anew with it."""
    first = extract(work(blip), TRAIN, TEST)
    reduction_file(folder).unlink()
    log = []
    monkeypatch.setattr(reduction, "PCA_ROWS", reduction.PCA_ROWS // 2)
    second = extract(work(blip, log), TRAIN, TEST)
    assert second.key == first.key and not torch.equal(second.image_pca.weight, first.image_pca.weight)
    assert sum("begun for other content" in line for line in log) == 6
    pooled = second.image_pca(blip.image(TEST.pixels).pooled)
    assert torch.allclose(second.test._sources["pooled"].float(), pooled, atol=5e-3, rtol=1e-3)


def test_a_teacher_of_the_right_width_has_none(clip):
    features = extract(work(clip), TRAIN, TEST)
    assert features.image_pca is features.text_pca is None and features.train.width == 64


def test_the_fit_counts_as_part_of_the_pass(blip):
    features = extract(work(blip), TRAIN, TEST)
    one, store = keyed(work(blip), TRAIN, TEST, weights_digest(blip))
    seconds = reduction.load_or_fit(one, store, TRAIN, None).seconds
    parts = [sum(json.loads(line.rpartition(" ")[0])["seconds"] for line in path.read_text().splitlines())
             for path in store.glob("*/journal.jsonl")]  # fmt: skip
    assert len(parts) == 6 and seconds > 0
    assert features.seconds == pytest.approx(seconds + sum(parts))
