"""What a pass asks of the teacher; values that do not fit their stored type are an error that names the remedy."""

from dataclasses import replace

import pytest
import torch

from bench.features.extract import StoreError, extract
from tests.bench.features.passes import TEST, TRAIN, Changed, assert_same, work


def scaled(teacher, factor):
    def image(pixels):
        features = teacher.image(pixels)
        return replace(features, pooled=features.pooled * factor)

    return Changed(teacher, image=image)


def test_overflow_is_an_error_that_names_the_remedy(clip):
    loud = scaled(clip, 1e6)
    message = r"scenes-clip.* pooled has values beyond float16, up to .*; .*'features: float32' in mat"
    with pytest.raises(StoreError, match=message):
        extract(work(loud), TRAIN, TEST)
    pooled = extract(work(loud, dtype="float32"), TRAIN, TEST).train._sources["pooled"]
    expected = torch.cat([loud.image(part).pooled for part in TRAIN.pixels.split(4)])
    assert pooled.dtype == torch.float32 and torch.equal(pooled, expected)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_a_teacher_whose_features_are_not_finite_is_named(clip, dtype):
    with pytest.raises(StoreError, match="the teacher's pooled is not finite in fp32"):
        extract(work(scaled(clip, float("nan")), dtype=dtype), TRAIN, TEST)


@pytest.mark.parametrize("tokens", [True, False])
def test_tokens_are_taken_only_where_they_are_needed(clip, tokens):
    one = work(clip, tokens, tokens)
    images, texts = one.images(TEST.pixels, None), one.texts(list(TEST.captions), None)
    assert images.keys() == {"pooled", "attention", "joint"} | ({"tokens"} if tokens else set())
    assert texts.keys() == {"text_pooled", "text_joint"} | ({"text_tokens"} if tokens else set())
    live, text = clip.image(TEST.pixels), clip.text(TEST.captions)
    assert_same({"image": images["pooled"], "text": texts["text_joint"]}, {"image": live.pooled, "text": text.joint})
    if tokens:
        assert_same({"patches": images["tokens"][:, 1:]}, {"patches": live.patches})
        assert len(texts["text_tokens"]) == text.lengths.sum()  # without padding
