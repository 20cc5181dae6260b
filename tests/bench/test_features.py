"""The teacher's pass: every sample once, in order; and the PCA against scikit-learn."""

import pytest
import torch
from sklearn.decomposition import PCA

import teachers
from bench import data
from bench.features import distil, fit_pca, run_teacher


class Counting:
    """A teacher that counts its calls."""

    def __init__(self, teacher):
        self.teacher, self.images, self.captions = teacher, 0, 0

    def __getattr__(self, name):
        return getattr(self.teacher, name)

    def image(self, pixels):
        self.images += len(pixels)
        return self.teacher.image(pixels)

    def text(self, captions):
        self.captions += len(captions)
        return self.teacher.text(captions)


def test_every_sample_is_looked_at_once_and_rows_stay_in_order():
    split = data.load("scenes", "test", 300)  # more than one chunk
    teacher = Counting(teachers.load("clip", "pocket"))
    features = run_teacher(teacher, split)
    assert (teacher.images, teacher.captions) == (300, 1500)
    row = teacher.image(split.pixels[270:271])
    assert torch.allclose(features.pooled[270], row.pooled[0], atol=1e-5)
    assert torch.allclose(features.tokens[270, 1:], row.patches[0], atol=1e-5)
    caption = teacher.text(split.captions[1400:1401])
    length = int(caption.lengths[0])
    assert features.text_lengths[1400] == length
    assert torch.allclose(features.text_tokens[1400, :length], caption.tokens[0], atol=1e-5)


def test_blips_features_are_reduced_by_a_pca_of_the_training_split():
    train, test = (data.load("scenes", split, 300) for split in ("train", "test"))
    made = distil(teachers.load("blip", "pocket"), train, test, torch.device("cpu"), lambda done, total: None)
    assert made.width == made.train.text_pooled.shape[1] == made.test.text_tokens.shape[2] == 64
    assert 0.5 < made.image_pca.explained_variance <= 1
    assert made.train.joint.shape[1] == 64 and made.image_pca is not made.text_pca


def test_pca_against_scikit_learn():
    torch.manual_seed(0)
    rows = torch.randn(200, 12) @ torch.randn(12, 12)
    ours, oracle = fit_pca(rows, 5), PCA(5).fit(rows.double().numpy())
    assert ours.explained_variance == pytest.approx(oracle.explained_variance_ratio_.sum(), rel=1e-6)
    theirs = torch.tensor(oracle.transform(rows.double().numpy()), dtype=torch.float32)
    with torch.no_grad():
        mine = ours(rows)
    signs = (mine * theirs).sum(dim=0).sign()
    assert torch.allclose(mine, theirs * signs, atol=1e-4)


def test_a_pca_cannot_widen():
    with pytest.raises(ValueError, match="width 8 to 9"):
        fit_pca(torch.randn(20, 8), 9)
