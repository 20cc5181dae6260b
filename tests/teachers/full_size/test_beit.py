"""BEiT of full size: the only head that is left out, and that it says what timm says."""

import pytest
import torch

from teachers import WeightsError, prepare
from tests.teachers.full_size.checkpoints import FILE, pixels_of, pretrained, saved, small_beit


def test_beits_own_head_and_old_positions_are_left_out_but_no_other_head(small, tmp_path):
    state = dict(small_beit(classes=21841).state_dict())
    state["blocks.0.attn.relative_position_index"] = torch.zeros(17, 17, dtype=torch.long)
    teacher = pretrained("beit", saved(state, tmp_path / FILE["beit"]))
    assert torch.equal(teacher.model.cls_token, state["cls_token"])
    with pytest.raises(WeightsError, match=r"2 unexpected: head\.bias, head\.weight"):
        pretrained("beit", saved(small_beit(classes=1000).state_dict(), tmp_path / FILE["beit"]))


@torch.no_grad()
def test_full_size_beit_says_what_timm_says(full):
    teacher = full("beit")
    tokens = teacher.model.forward_features(prepare(pixels_of(teacher), **teacher.transform))
    said = teacher.image(pixels_of(teacher))
    assert torch.allclose(said.pooled, teacher.model.forward_head(tokens, pre_logits=True), atol=1e-5)
    assert torch.allclose(said.patches, tokens[:, 1:], atol=1e-5)
