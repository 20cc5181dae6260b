"""Fidelity against scikit-learn, scipy and brute force, its invariances, and what broken embeddings score."""

import math
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, entropy
from sklearn.metrics import accuracy_score
from sklearn.neighbors import NearestNeighbors
from torch.nn import functional

from bench.measure.fidelity import agreement, linear_cka, neighbour_overlap, similarity_kl, teachers_nearest
from bench.measure.model import Model
from tests.bench.measure.drawn import permutation, seeded, unit


def like(embeddings, noise, seed=7):
    return functional.normalize(embeddings + noise * unit(*embeddings.shape, seed=seed), dim=-1)


@pytest.mark.parametrize("k", [1, 10])
def test_overlap_is_that_of_scikit_learns_neighbours(k):
    student, teacher = unit(150, 6), unit(150, 9, seed=1)
    # Without an argument kneighbors leaves the sample itself out, by index.
    fits = (NearestNeighbors(n_neighbors=k).fit(side.double()) for side in (student, teacher))
    neighbours = [fit.kneighbors(return_distance=False) for fit in fits]
    shared = sum(len(set(one) & set(other)) for one, other in zip(*neighbours, strict=True))
    assert neighbour_overlap(student, teacher, k) == pytest.approx(100 * shared / (150 * k))


def test_overlap_with_itself_with_nothing_and_in_a_set_smaller_than_k():
    x = unit(300, 8)
    assert neighbour_overlap(x, x) == 100
    assert neighbour_overlap(unit(5, 8), unit(5, 8, seed=1), k=10) == 100  # all others are neighbours in both


def test_a_duplicate_is_a_neighbour_and_the_sample_itself_is_not():
    """Pairs of equal images: the nearest of each is its twin, under any model that sees them as equal."""
    student, teacher = unit(40, 32).repeat(2, 1), unit(40, 48, seed=1).repeat(2, 1)
    assert neighbour_overlap(student, teacher, k=1) == 100


def test_unrelated_embeddings_overlap_by_chance():
    """Each of the k neighbours is among the other model's with k / (N - 1); 99.9 % binomial interval."""
    for seed in range(3):
        overlap = neighbour_overlap(unit(500, 16, seed=seed), unit(500, 16, seed=seed + 10))
        low, high = binom.interval(0.999, 5000, 10 / 499)
        assert low <= round(overlap * 50) <= high


def test_overlap_of_a_collapsed_or_broken_student_is_nothing():
    teacher = unit(60, 16)
    assert neighbour_overlap(unit(1, 16).expand(60, 16), teacher) == 0
    for value in (float("nan"), float("inf")):
        assert neighbour_overlap(torch.full((60, 16), value), teacher) == 0
        assert neighbour_overlap(teacher, torch.full((60, 16), value)) == 0


def kernel_cka(x, y):
    """Kornblith et al., equation 4, with N x N kernels centred by H = I - 1/N."""
    centre = torch.eye(len(x), dtype=torch.float64) - 1 / len(x)
    k, l = (centre @ side.double() @ side.double().T @ centre for side in (x, y))  # noqa: E741
    return ((k * l).sum() / (k.norm() * l.norm())).item()


@pytest.mark.parametrize("noise", [0.1, 1.0, 10.0])
def test_cka_is_that_of_the_centred_kernels(noise):
    x = unit(90, 12)
    y = like(x, noise) @ torch.randn(12, 20, generator=seeded(3))
    assert linear_cka(x, y) == pytest.approx(kernel_cka(x, y), abs=1e-9)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.1, 10))
def test_cka_is_symmetric_and_blind_to_rotation_scale_and_shift(seed, scale):
    x, y = unit(30, 5, seed=seed), unit(30, 7, seed=seed + 1)
    rotation = torch.linalg.qr(torch.randn(5, 5, generator=seeded(seed), dtype=torch.float64))[0]
    value = linear_cka(x, y)
    assert 0 <= value <= 1 and linear_cka(y, x) == pytest.approx(value)
    assert linear_cka(scale * x.double() @ rotation + 3, y) == pytest.approx(value, abs=1e-9)
    assert linear_cka(x, x.double() @ rotation) == pytest.approx(1)


def test_cka_of_a_constant_or_broken_side_is_zero():
    x = unit(50, 8)
    noise = 1e-8 * torch.randn(50, 8, generator=seeded(0))
    for other in (unit(1, 8).expand(50, 8), unit(1, 8) + noise, torch.full((50, 8), float("nan"))):
        assert linear_cka(x, other) == linear_cka(other, x) == 0.0


def test_agreement_is_the_share_of_equal_predictions():
    first, second = (torch.randint(0, 4, (200,), generator=seeded(s)) for s in (0, 1))
    assert agreement(first, second) == pytest.approx(100 * accuracy_score(first, second))
    assert agreement(torch.tensor([1, -1, -1, 2]), torch.tensor([1, -1, 0, 2])) == 50


def scipys_kl(student, teacher, scales, diagonal):
    """Mean over rows of scipy's relative entropy of the two softmaxes, ``[N, G]`` cosines each."""
    total = 0.0
    for row in range(len(student)):
        keep = torch.arange(student.shape[1]) != (row if diagonal else -1)
        q, p = ((scale * side[row, keep]).softmax(0) for side, scale in zip((student, teacher), scales, strict=True))
        total += entropy(p.numpy(), q.numpy())
    return total / len(student)


@pytest.mark.parametrize("scales", [(14.3, 14.3), (100.0, 5.0), (1.0, 100.0)])
def test_kl_of_self_similarity_is_scipys(scales):
    student, teacher = unit(60, 6), unit(60, 9, seed=1)
    cosines = [side.double() @ side.double().T for side in (student, teacher)]
    assert similarity_kl(student, teacher, *scales) == pytest.approx(scipys_kl(*cosines, scales, diagonal=True))


@pytest.mark.parametrize("scales", [(14.3, 14.3), (100.0, 5.0), (1.0, 100.0)])
def test_kl_between_images_and_texts_is_the_mean_of_both_directions(scales):
    student, teacher = (unit(30, 6), unit(75, 6, seed=1)), (unit(30, 9, seed=2), unit(75, 9, seed=3))
    cosines = [images.double() @ texts.double().T for images, texts in (student, teacher)]
    mirrored = [side.T for side in cosines]
    expected = (scipys_kl(*cosines, scales, diagonal=False) + scipys_kl(*mirrored, scales, diagonal=False)) / 2
    assert similarity_kl(student[0], teacher[0], *scales, student[1], teacher[1]) == pytest.approx(expected)


def test_kl_of_a_copy_is_zero_and_of_a_collapsed_student_what_the_teacher_knows():
    teacher, same = unit(50, 8), unit(1, 8).expand(50, 8)
    assert similarity_kl(teacher, teacher, 20, 20) == pytest.approx(0, abs=1e-12)
    logits = 20 * teacher.double() @ teacher.double().T
    p = logits.fill_diagonal_(-math.inf).softmax(1)
    # Against a uniform student KL is log(N - 1) minus the teacher's entropy.
    assert similarity_kl(same, teacher, 20, 20) == pytest.approx(math.log(49) - entropy(p.numpy(), axis=1).mean())


def test_kl_grows_with_noise_and_is_infinite_for_what_is_not_finite():
    teacher = unit(200, 16)
    values = [similarity_kl(like(teacher, noise), teacher, 20, 20) for noise in (0.1, 0.3, 1.0)]
    assert 0 < values[0] < values[1] < values[2]
    assert similarity_kl(torch.full((200, 16), float("nan")), teacher, 20, 20) == math.inf


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6))
def test_a_permuted_set_gives_the_same_results(seed):
    student, teacher = unit(40, 6, seed=seed), unit(40, 9, seed=seed + 1)
    order = permutation(40, seed=seed)
    assert neighbour_overlap(student, teacher) == neighbour_overlap(student[order], teacher[order])
    assert linear_cka(student, teacher) == pytest.approx(linear_cka(student[order], teacher[order]))
    assert similarity_kl(student, teacher, 20, 20) == pytest.approx(
        similarity_kl(student[order], teacher[order], 20, 20)
    )


def models(student, student_bank, teacher, teacher_bank, checksums=()):
    """A student and its teacher of images alone, as far as their nearest images matter."""
    train = SimpleNamespace(split=SimpleNamespace(checksums=checksums))
    features = SimpleNamespace(train=train, test=SimpleNamespace(split=SimpleNamespace(labels=None, owner=None)))
    return Model(features, 1, student, bank=student_bank), Model(features, 1, teacher, bank=teacher_bank)


def test_the_teachers_nearest_are_those_of_scikit_learn():
    student, bank = unit(120, 6), unit(300, 6, seed=1)
    teacher, its_bank = like(student, 0.5), like(bank, 0.5, seed=8)
    [one] = NearestNeighbors(n_neighbors=1).fit(its_bank.double()).kneighbors(teacher.double(), return_distance=False).T
    ten = NearestNeighbors(n_neighbors=10).fit(bank.double()).kneighbors(student.double(), return_distance=False)
    hits = [(one[:, None] == ten[:, :k]).any(axis=1).mean() for k in (1, 10)]
    scores = teachers_nearest(*models(student, bank, teacher, its_bank))
    assert scores == {f"teachers_nearest_{k}": pytest.approx(100 * hit) for k, hit in zip((1, 10), hits, strict=True)}
    assert 0 < hits[0] < hits[1] < 1


def test_images_with_the_same_bytes_are_one_and_a_collapsed_or_broken_student_finds_nothing():
    images, bank = unit(40, 8), unit(60, 8, seed=1)
    twice, digests = bank.repeat(2, 1), [*map(str, range(60))] * 2
    assert set(teachers_nearest(*models(images, twice, images, twice, digests)).values()) == {100}
    assert teachers_nearest(*models(images, twice, images, twice))["teachers_nearest_1"] == 0  # each ties with its twin
    point = unit(1, 8)
    collapsed = point.expand(40, 8), point.expand(60, 8)
    broken = images * float("nan"), bank
    for one, other in ((collapsed, (images, bank)), (broken, (images, bank)), ((images, bank), broken)):
        assert set(teachers_nearest(*models(*one, *other)).values()) == {0}
