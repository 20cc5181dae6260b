"""The attention that teachers answer with: the last layer's, and a named error where its library computes none."""

import pytest
import torch
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

import teachers
from bench import data
from teachers import AttentionError
from tests.teachers.test_teachers import NAMES, TOWERS


@pytest.fixture(scope="module")
def pixels():
    return data.load("scenes", "test", 2).pixels


@pytest.mark.parametrize("weights", ["pocket", pytest.param("random", marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", NAMES)
def test_attention_is_the_last_layers_softmax(name, weights, pixels):
    """Recomputed from the last block's own projections, head by head; random weights are of full size."""
    teacher = teachers.load(name, weights)
    if weights == "random":  # initial weights attend to all patches alike
        pixels = pixels[:1]
        sharp = [p for key, p in teacher.named_parameters() if key.endswith(("qkv.weight", "in_proj_weight"))]
        for weight in sharp:
            weight.mul_(8)
    rows = {"dino": _timm, "beit": _timm, "clip": _open_clip, "blip": _blip}[name](teacher, pixels)
    queries = rows[:, :, 1:].mean(dim=2) if name == "beit" else rows[:, :, 0]
    expected = queries.mean(dim=1)[:, 1:]
    expected = expected / expected.sum(dim=1, keepdim=True)
    assert torch.allclose(teacher.image(pixels).attention, expected, atol=1e-5)


@pytest.mark.parametrize("name", ["dino", "beit"])
def test_timms_fused_attention_which_has_no_map_is_a_named_error(name, pixels):
    teacher = teachers.load(name, "pocket")
    teacher.model.blocks[-1].attn.fused_attn = True
    with pytest.raises(AttentionError, match=rf"teacher {name.title()}: .*build the model with unfused attention"):
        teacher.image(pixels)


def test_transformers_sdpa_which_has_no_map_is_a_named_error(pixels):
    teacher = teachers.load("blip", "pocket")
    attention = teacher.model.vision_model.encoder.layers[-1].self_attn

    def forward(hidden_states, **_):
        query, key, value = attention.qkv(hidden_states).chunk(3, dim=-1)
        heads = [_heads(each, attention.num_heads) for each in (query, key, value)]
        mixed, weights = ALL_ATTENTION_FUNCTIONS["sdpa"](attention, *heads, None, is_causal=False)
        return attention.projection(mixed.flatten(2)), weights

    expected = teacher.model.vision_model(pixel_values=pixels / 255).last_hidden_state
    attention.forward = forward
    assert torch.allclose(teacher.model.vision_model(pixel_values=pixels / 255).last_hidden_state, expected, atol=1e-5)
    with pytest.raises(AttentionError, match=r"teacher Blip: .*'eager' of transformers"):
        teacher.image(pixels)


@pytest.mark.parametrize("answer", [None, ()])
@pytest.mark.parametrize("name", TOWERS)
def test_an_attention_that_answers_with_no_map_is_a_named_error(name, answer, pixels):
    teacher = teachers.load(name, "pocket")
    tower = teacher.vision()
    attention = tower.transformer.resblocks[-1].attn if name == "clip" else tower.encoder.layers[-1].self_attn
    own = attention.forward
    attention.forward = lambda *args, **options: (own(*args, **options)[0], answer)
    with pytest.raises(
        AttentionError, match=f"teacher {name.title()}: the {type(attention).__name__} of its last layer"
    ):
        teacher.image(pixels)


def _softmax(query, key):
    return (query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5).softmax(dim=-1)


def _input_of(module, call):
    inputs = []
    hook = module.register_forward_pre_hook(
        lambda _, args, kwargs: inputs.append(args[0] if args else kwargs["hidden_states"]), with_kwargs=True
    )
    call()
    hook.remove()
    return inputs[0]


def _heads(x, heads):
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def _timm(teacher, pixels):
    attention = teacher.model.blocks[-1].attn
    x = _input_of(attention, lambda: teacher.image(pixels))
    bias = attention.qkv.bias
    if bias is None and attention.q_bias is not None:
        bias = torch.cat([attention.q_bias, attention.k_bias, attention.v_bias])
    query, key, _ = torch.nn.functional.linear(x, attention.qkv.weight, bias).chunk(3, dim=-1)
    heads = attention.num_heads
    scores = _heads(query, heads) @ _heads(key, heads).transpose(-1, -2) / (query.shape[-1] / heads) ** 0.5
    if getattr(attention, "relative_position_bias_table", None) is not None:
        scores = scores + attention._get_rel_pos_bias()
    return scores.softmax(dim=-1)


def _open_clip(teacher, pixels):
    attention = teacher.model.visual.transformer.resblocks[-1].attn
    x = _input_of(attention, lambda: teacher.image(pixels))
    query, key, _ = torch.nn.functional.linear(x, attention.in_proj_weight, attention.in_proj_bias).chunk(3, dim=-1)
    return _softmax(_heads(query, attention.num_heads), _heads(key, attention.num_heads))


def _blip(teacher, pixels):
    attention = teacher.model.vision_model.encoder.layers[-1].self_attn
    x = _input_of(attention, lambda: teacher.image(pixels))
    query, key, _ = attention.qkv(x).chunk(3, dim=-1)
    return _softmax(_heads(query, attention.num_heads), _heads(key, attention.num_heads))
