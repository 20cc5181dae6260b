"""BLIP of full size: a whole retrieval checkpoint or none, and that it says what transformers says."""

import json
import re

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    BertTokenizer,
    BlipForConditionalGeneration,
    BlipForImageTextRetrieval,
    BlipModel,
    BlipVisionModel,
)

from teachers import WeightsError, prepare
from teachers.blip import FusedAttention
from tests.teachers.full_size.checkpoints import BLIP, CAPTIONS, PROCESSOR, pixels_of, pretrained


def test_a_retrieval_checkpoint_fills_blip_and_brings_its_tokenizer(retrieval):
    teacher = pretrained("blip", retrieval)
    wanted = load_file(retrieval / "model.safetensors")
    loaded = teacher.model.state_dict()
    assert loaded.keys() == wanted.keys() and all(torch.equal(loaded[key], wanted[key]) for key in wanted)
    ids, mask = teacher.tokenize(["a dog", "the"])
    assert ids.shape == (2, 4) and ids[0, 0] == 2 and ids[0, -1] == 3 and mask.sum(dim=1).tolist() == [4, 3]
    assert teacher.tokenizer["name"] == "BertTokenizer" and len(teacher.tokenizer["digest"]) == 16


def edit(folder, change):
    state = load_file(folder / "model.safetensors")
    change(state)
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize("tower", ["text_encoder", "vision_model"])
def test_the_buffer_of_positions_that_older_checkpoints_hold_is_accepted(tower, retrieval):
    """It counts from 0 and is no weight: transformers makes its own, and no longer saves it."""
    good = pretrained("blip", retrieval).text(CAPTIONS).joint
    edit(retrieval, lambda state: state.update({f"{tower}.embeddings.position_ids": torch.arange(512)[None]}))
    assert torch.equal(pretrained("blip", retrieval).text(CAPTIONS).joint, good)


@pytest.mark.parametrize(
    "key",
    ["text_encoder.pooler.dense.weight", "text_encoder.cls.predictions.bias", "visual_encoder.norm.bias", "logit_scale",
     "text_encoder.embeddings.position_ids_2", "text_encoder.rotary_emb.inv_freq"],
)  # fmt: skip
def test_a_tensor_that_blip_has_no_place_for_is_refused_by_name(key, retrieval):
    edit(retrieval, lambda state: state.update({key: torch.zeros(8)}))
    with pytest.raises(WeightsError, match=rf"does not fill it exactly[^\n]*\n  1 unexpected: {re.escape(key)}\n"):
        pretrained("blip", retrieval)


def test_a_partly_filled_blip_is_refused(retrieval):
    edit(retrieval, lambda state: state.pop("text_proj.bias"))
    with pytest.raises(WeightsError, match=r"1 missing: text_proj\.bias"):
        pretrained("blip", retrieval)


@pytest.mark.parametrize("trap", [BlipForConditionalGeneration, BlipModel])
def test_blip_checkpoints_for_other_tasks_are_refused(trap, tokens):
    """BlipModel is the trap of transformers #28034: no published checkpoint fits it."""
    trap(BLIP).save_pretrained(tokens)
    with pytest.raises(WeightsError, match=f"config.json names {trap.__name__}; only BlipForImageTextRetrieval"):
        pretrained("blip", tokens)


def test_blip_without_its_tokenizer_is_refused(retrieval):
    """transformers would make up an empty one, to which every word is unknown."""
    (retrieval / "tokenizer.json").unlink()
    with pytest.raises(WeightsError, match=r"there is no file .*tokenizer\.json"):
        pretrained("blip", retrieval)


@pytest.mark.parametrize(
    "other",
    [{"image_mean": [0.5, 0.5, 0.5]}, {"image_std": [0.5, 0.5, 0.5]}, {"size": {"height": 224, "width": 224}},
     {"size": {"shortest_edge": 32}}, {"size": 16}],
)  # fmt: skip
def test_a_preprocessor_beside_blip_must_do_what_the_teacher_does(other, retrieval):
    file = retrieval / "preprocessor_config.json"
    file.write_text(json.dumps(PROCESSOR))
    assert pretrained("blip", retrieval).transform["size"] == 32
    file.write_text(json.dumps(PROCESSOR | other))
    with pytest.raises(WeightsError, match=f"preprocessor_config.json says {next(iter(other))}"):
        pretrained("blip", retrieval)


@pytest.mark.parametrize("tower", ["vision_config", "text_config"])
def test_a_config_with_another_activation_is_refused(tower, retrieval):
    file = retrieval / "config.json"
    config = json.loads(file.read_text())
    config[tower]["hidden_act"] = "relu"
    file.write_text(json.dumps(config))
    with pytest.raises(WeightsError, match=f"says {tower}.hidden_act relu, but this teacher uses gelu"):
        pretrained("blip", retrieval)


@torch.no_grad()
def test_blip_says_what_transformers_says(retrieval):
    """Against the library's own model of the same checkpoint, with its eager attention in every layer."""
    teacher = pretrained("blip", retrieval)
    library = BlipForImageTextRetrieval.from_pretrained(retrieval).eval()
    ids, mask = teacher.tokenize(CAPTIONS)
    inputs = prepare(pixels_of(teacher), **teacher.transform)
    output = library(input_ids=ids, attention_mask=mask, pixel_values=inputs, use_itm_head=False)
    features = teacher.image(pixels_of(teacher))
    assert torch.allclose(features.joint @ teacher.text(CAPTIONS).joint.T, output.itm_score, atol=1e-5)
    assert torch.allclose(
        torch.cat([features.pooled[:, None], features.patches], 1), output.last_hidden_state, atol=1e-5
    )


@torch.no_grad()
@pytest.mark.slow
def test_full_size_blip_with_fused_attention_equals_eager(full):
    """577 tokens; the last layer stays eager, because its weights are the attention map."""
    teacher = full("blip")
    fused = teacher.model.vision_model
    kinds = [isinstance(layer.self_attn, FusedAttention) for layer in fused.encoder.layers]
    assert kinds == [True] * 11 + [False]
    eager = BlipVisionModel(teacher.model.config.vision_config).eval()
    eager.load_state_dict(fused.state_dict())
    inputs = prepare(pixels_of(teacher, 1), **teacher.transform)
    wanted = eager(pixel_values=inputs).last_hidden_state
    given = fused(pixel_values=inputs).last_hidden_state
    assert torch.allclose(given, wanted, atol=1e-5)  # a scale of 0.1249 for 0.125 gives 6e-4


def test_an_attention_of_another_make_is_refused():
    attention = BlipForImageTextRetrieval(BLIP).vision_model.encoder.layers[0].self_attn
    attention.query_norm = torch.nn.LayerNorm(8)
    with pytest.raises(RuntimeError, match="not as in transformers"):
        FusedAttention(attention)


def test_blip_without_weights_has_a_tokenizer_that_needs_no_download(full):
    teacher = full("blip")
    ids, mask = teacher.tokenize(["a dog", "A dog", "cat " * 50])
    assert teacher.tokenizer == {"name": "hashed words (random control)", "length": 35}
    assert ids.shape == (3, 35) and mask.sum(dim=1).tolist() == [4, 4, 35]
    assert torch.equal(ids[0], ids[1]) and (ids[:, 0] == 101).all() and (ids == 102).sum(dim=1).tolist() == [1, 1, 1]
    assert ids[0, 1] == 1000 + 0xE8B7BE43 % 29_522, "CRC-32 of 'a': the same on every machine"
    both, alone = teacher.text(["a dog", "two cats on a mat"]), teacher.text(["a dog"])
    assert torch.allclose(both.joint[0], alone.joint[0], atol=1e-5) and both.lengths.tolist() == [4, 7]


def test_a_tokenizer_that_knows_no_english_is_refused(retrieval, tmp_path):
    """transformers saves one of five tokens where a vocabulary is given to it by another name; to it all captions are one."""
    (tmp_path / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]))
    BertTokenizer(vocab=str(tmp_path / "vocab.txt")).save_pretrained(retrieval)
    with pytest.raises(WeightsError, match="does not know the words 'a dog'"):
        pretrained("blip", retrieval)


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json"])
def test_a_damaged_tokenizer_is_named(name, retrieval):
    (retrieval / name).write_text('{"half')
    with pytest.raises(WeightsError, match=f"the tokenizer in {retrieval} cannot be read"):
        pretrained("blip", retrieval)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"half', "config.json is not valid JSON"),
        ("{}", "does not fill it exactly"),
    ],
)
def test_a_config_that_is_not_the_checkpoints_is_refused(text, message, retrieval):
    (retrieval / "config.json").write_text(text)
    with pytest.raises(WeightsError, match=message):
        pretrained("blip", retrieval)
