"""DINO and BEiT of full size: what is no checkpoint of theirs."""

import json

import pytest
import timm
import torch
from transformers import ViTConfig, ViTModel

from teachers import WeightsError
from tests.teachers.full_size.checkpoints import FILE, SMALL, pretrained, saved, small_beit, state_of


def test_dino_has_no_pooler_and_a_checkpoint_that_has_one_is_refused(small, tmp_path):
    """The pooler of transformers' ViTModel is random for DINO's checkpoints; timm's model has no such layer."""
    teacher = pretrained("dino", saved(state_of("dino"), tmp_path / FILE["dino"]))
    assert not [name for name, _ in teacher.named_modules() if "pool" in name]
    config = ViTConfig(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, image_size=32)
    ViTModel(config).save_pretrained(tmp_path / "vit")
    with pytest.raises(WeightsError, match=r"missing: blocks\.0(.|\n)*unexpected: embeddings"):
        pretrained("dino", tmp_path / "vit")


def test_a_supervised_vit_is_no_dino(small, tmp_path):
    model = timm.create_model("vit_base_patch16_224.augreg_in21k", **SMALL)
    with pytest.raises(WeightsError, match=r"2 unexpected: head\.bias, head\.weight"):
        pretrained("dino", saved(model.state_dict(), tmp_path / FILE["dino"]))


def test_only_the_config_beside_it_tells_a_model_with_dinos_tensors(small, tmp_path):
    file = saved(state_of("dino"), tmp_path / FILE["dino"])
    mae = timm.get_pretrained_cfg("vit_base_patch16_224.mae").to_dict()
    (tmp_path / "config.json").write_text(json.dumps({"pretrained_cfg": mae}))
    with pytest.raises(WeightsError, match=r"config\.json says tag mae, but this teacher uses dino"):
        pretrained("dino", file)


def test_beits_own_head_and_old_positions_are_left_out_but_no_other_head(small, tmp_path):
    state = dict(small_beit(classes=21841).state_dict())
    state["blocks.0.attn.relative_position_index"] = torch.zeros(17, 17, dtype=torch.long)
    teacher = pretrained("beit", saved(state, tmp_path / FILE["beit"]))
    assert torch.equal(teacher.model.cls_token, state["cls_token"])
    with pytest.raises(WeightsError, match=r"2 unexpected: head\.bias, head\.weight"):
        pretrained("beit", saved(small_beit(classes=1000).state_dict(), tmp_path / FILE["beit"]))


@pytest.mark.slow
def test_a_checkpoint_of_full_size_fills_the_teacher(full, tmp_path):
    state = {key: (tensor * 1.5 + 0.1).half() for key, tensor in full("dino").model.state_dict().items()}
    file = saved(state, tmp_path / FILE["dino"])
    loaded = pretrained("dino", file).model.state_dict()
    file.unlink()  # hundreds of megabytes that pytest would keep
    assert loaded.keys() == state.keys() and all(torch.equal(loaded[key], state[key].float()) for key in state)
