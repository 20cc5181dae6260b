"""CLIP of full size: its activation and normalisation, and that it says what open_clip says."""

import json

import open_clip
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from open_clip.transformer import QuickGELU

from teachers import WeightsError, prepare
from teachers.clip import PLAIN, Tokenizer, build_pocket
from tests.teachers.full_size.checkpoints import CAPTIONS, FILE, pixels_of, pretrained, saved, state_of


def test_every_block_of_clip_has_quickgelu(full):
    for model in (full("clip").model, build_pocket()):
        blocks = [*model.visual.transformer.resblocks, *model.transformer.resblocks]
        assert all(isinstance(block.mlp.gelu, QuickGELU) for block in blocks)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"model_cfg": {"embed_dim": 512}}, "says QuickGELU False"),
        ({"preprocess_cfg": {"mean": [0.5, 0.5, 0.5]}}, "says mean"),
        ({"preprocess_cfg": {"resize_mode": "squash"}}, "says resize_mode squash"),
    ],
)
def test_a_config_beside_clip_that_says_otherwise_is_refused(config, message, small, tmp_path):
    file = saved(state_of("clip"), tmp_path / FILE["clip"])
    (tmp_path / "open_clip_config.json").write_text(json.dumps(config))
    with pytest.raises(WeightsError, match=message):
        pretrained("clip", file)


@torch.no_grad()
def test_full_size_clip_says_what_open_clip_says(full):
    teacher = full("clip")
    inputs = prepare(pixels_of(teacher), **teacher.transform)
    assert torch.allclose(
        teacher.image(pixels_of(teacher)).joint, teacher.model.encode_image(inputs, normalize=True), atol=1e-5
    )
    ids = open_clip.get_tokenizer("ViT-B-32-quickgelu")(CAPTIONS)
    texts = teacher.text(CAPTIONS)
    assert ids.shape == (3, 77) and texts.tokens.shape == (3, 16, 512) and texts.lengths.tolist() == [4, 16, 4]
    assert torch.allclose(texts.joint, teacher.model.encode_text(ids, normalize=True), atol=1e-5)


REFERENCE = open_clip.get_tokenizer("ViT-B-32-quickgelu")
TOKENIZER = Tokenizer(REFERENCE)
# Plain text, and what the two could read otherwise: entities, quotes, marks, controls, other scripts, special tokens.
PIECES = ["a dog", "DOG'S ", "they'Ll", "&amp;", "&lt;", "\u201cno\u201d", "caf\u00e9", "\x1b[0m", "\r\n", "\t", "  ", "...!?", "12th",
          "\u4e00\u9fff", "<start_of_text>", "<end_of_text>", "it's", "'", "\u00e2\u20ac\u2122", "a_b-c", "\u0130", ""]  # fmt: skip


@given(st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=12)), max_size=8).map("".join))
def test_clips_tokens_are_open_clips(caption):
    assert TOKENIZER([caption]).tolist() == REFERENCE([caption]).tolist()


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=60))
def test_compiled_tokens_of_plain_captions_are_open_clips(caption):
    assert TOKENIZER([caption]).tolist() == REFERENCE([caption]).tolist()
    assert bool(PLAIN.fullmatch(caption)) == (not set(caption) & set("&<"))


def test_long_captions_are_cut_as_open_clip_cuts_them_and_no_captions_are_none():
    captions = ["cat " * 75, "cat " * 76, "cat " * 200, "caf\u00e9 " * 90, "a cat"]
    assert torch.equal(TOKENIZER(captions), REFERENCE(captions)) and TOKENIZER([]).shape == (0, 77)
