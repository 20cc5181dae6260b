"""Ranks, recall and mAP@R against torchmetrics, brute force and by hand; ties, duplicates, NaN, chance."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import hypergeom
from torch.nn import functional
from torchmetrics.retrieval import RetrievalHitRate

from bench.measure import tiles
from bench.measure.retrieval import chance_recall, match_ranks, nearest, retrieval
from tests.bench.measure.drawn import permutation, seeded, unit


def varying_owner(images, seed=0):
    """One to seven captions an image."""
    return torch.arange(images).repeat_interleave(torch.randint(1, 8, (images,), generator=seeded(seed)))


def pair(owner, noise, seed=0, width=6):
    images = unit(int(owner[-1]) + 1, width, seed=seed)
    texts = functional.normalize(images[owner] + noise * unit(len(owner), width, seed=seed + 1), dim=-1)
    return images, texts


def recalls(result):
    return [result[f"{side}_r{k}"] for side in ("image_to_text", "text_to_image") for k in (1, 5, 10)]


def brute_force_map_r(scores, relevant):
    """Musgrave et al., 2003.08505, section 2.4, word for word, from a full sort of each row."""
    total = 0.0
    for row, wanted in zip(scores.tolist(), relevant.tolist(), strict=True):
        ranking = sorted(range(len(row)), key=lambda entry: -row[entry])
        r = sum(wanted)
        for i in range(1, r + 1):
            if wanted[ranking[i - 1]]:
                total += sum(wanted[entry] for entry in ranking[:i]) / i / r
    return 100 * total / len(scores)


@pytest.mark.parametrize("owner", [torch.arange(37).repeat_interleave(5), varying_owner(60)])
@pytest.mark.parametrize("queries", [1024, 7])
def test_recall_is_torchmetrics(monkeypatch, owner, queries):
    """Also where the queries do not divide into tiles."""
    monkeypatch.setattr(tiles, "QUERIES", queries)
    images, texts = pair(owner, noise=0.8)
    result = retrieval(images, texts, owner)
    similarity = images.double() @ texts.double().T
    match = owner[None] == torch.arange(len(images))[:, None]
    for side, scores, truth in (("image_to_text", similarity, match), ("text_to_image", similarity.T, match.T)):
        index = torch.arange(len(scores))[:, None].expand_as(scores)
        for k in (1, 5, 10):
            oracle = RetrievalHitRate(top_k=k)
            oracle.update(scores.flatten(), truth.flatten(), index.flatten())
            assert result[f"{side}_r{k}"] == pytest.approx(100 * oracle.compute().item(), abs=1e-4)


@pytest.mark.parametrize("noise", [0.3, 0.8, 3.0])
def test_map_at_r_is_the_brute_force_of_its_definition(noise):
    owner = varying_owner(80)
    images, texts = pair(owner, noise)
    similarity = images.double() @ texts.double().T
    match = owner[None] == torch.arange(len(images))[:, None]
    result = retrieval(images, texts, owner)
    assert result["image_to_text_map_r"] == pytest.approx(brute_force_map_r(similarity, match))
    # One image is relevant to a caption, R = 1: recall@1 says it already.
    assert result["text_to_image_r1"] == pytest.approx(brute_force_map_r(similarity.T, match.T))


def test_map_at_r_by_hand():
    """Image 0 owns captions at places 1 and 3 of 4, so R = 2: (1/1) / 2; image 1 owns places 1 and 2: 1."""
    images = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    texts = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.8, 0.6], [0.0, 1.0]])
    # Image 0 scores 1, .6, .8, 0: owner [0, 0, 1, 1]. Image 1 scores 0, .8, .6, 1: its captions 2 and 3 at 3 and 1.
    result = retrieval(images, texts, torch.tensor([0, 0, 1, 1]))
    assert result["image_to_text_map_r"] == 50
    # Captions 0 and 3 find their image, 1 and 2 the other one.
    assert recalls(result)[3:] == [50, 100, 100] and result["text_to_image_median_rank"] == 1.5


def test_a_duplicate_of_the_match_outranks_it():
    """A second image like the first: each caption of either finds two that tie, and the other one counts as better."""
    images = unit(30, 64)
    images[17] = images[4]
    ids = torch.arange(30)
    ranks = match_ranks(images, images, ids, ids)
    assert [ranks[4].item(), ranks[17].item()] == [2, 2] and (ranks == 1).sum() == 28


def test_a_collapsed_embedding_scores_nothing():
    same, owner = unit(1, 24).expand(20, 24), torch.arange(20).repeat_interleave(3)
    result = retrieval(same, same.repeat_interleave(3, 0), owner)
    assert recalls(result) == [0.0] * 6
    assert result["image_to_text_map_r"] == 0
    assert result["image_to_text_median_rank"] == 58 and result["text_to_image_median_rank"] == 20


@pytest.mark.parametrize("images", [3, 20])  # with three, rank 10 is beyond the gallery, and yet no hit
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_embeddings_that_are_not_finite_score_nothing(images, value):
    broken, owner = torch.full((images, 4), value), torch.arange(images).repeat_interleave(3)
    for x, y in ((broken, unit(3 * images, 4)), (unit(images, 4), broken.repeat_interleave(3, 0))):
        result = retrieval(x, y, owner)
        assert recalls(result) == [0.0] * 6
        assert result["image_to_text_map_r"] == 0
        assert result["text_to_image_median_rank"] == images + 1
        assert nearest(x, y).tolist() == [-1] * images


def test_one_caption_that_is_not_a_number_costs_every_image_a_rank():
    images, owner = unit(12, 16), torch.arange(12)
    texts = images.clone()
    texts[5] = float("nan")
    ranks = match_ranks(images, texts, owner, owner)
    assert ranks.tolist() == [2] * 5 + [13] + [2] * 6


def test_a_query_without_a_match_is_an_error():
    with pytest.raises(ValueError, match="query id 5 has no match"):
        match_ranks(unit(1, 3), unit(4, 3), torch.tensor([5]), torch.arange(4))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 30))
def test_the_order_of_images_and_captions_does_not_matter(seed, count):
    owner = varying_owner(count, seed)
    images, texts = pair(owner, noise=1.0, seed=seed)
    order, captions = permutation(count, seed), permutation(len(owner), seed + 1)
    result = retrieval(images, texts, owner)
    permuted = retrieval(images[order], texts[captions], order.argsort()[owner[captions]])
    assert recalls(result) == recalls(permuted)
    assert result["image_to_text_map_r"] == pytest.approx(permuted["image_to_text_map_r"])
    assert 0 <= result["image_to_text_map_r"] <= 100 and result["image_to_text_r1"] <= result["image_to_text_r5"]


def test_nearest_is_the_argmax_and_of_equals_the_first():
    queries, gallery = unit(200, 8), unit(90, 8, seed=1)
    expected = (queries.double() @ gallery.double().T).argmax(dim=1)
    assert torch.equal(nearest(queries, gallery), expected)
    assert torch.equal(nearest(queries, torch.cat([gallery, gallery])), expected)
    assert nearest(queries, unit(1, 8).expand(30, 8)).tolist() == [0] * 200


def test_chance_is_scipys_hypergeometric():
    owner = varying_owner(50)
    for k in (1, 5, 10, len(owner) - 2):
        to_text, to_image = chance_recall(owner, k)
        hits = [1 - hypergeom.pmf(0, len(owner), r, k) for r in owner.bincount().tolist()]
        assert to_text == pytest.approx(100 * sum(hits) / 50)
        assert to_image == pytest.approx(min(100, 2 * k))
    assert chance_recall(owner, 10**6) == (100, 100)
