"""What a pass asks of the teacher: tokens only where students need them."""

import pytest

from tests.bench.features.passes import TEST, assert_same, work


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
