"""Models of timm as teachers: attention, patches, preprocessing and weights, beside what timm itself makes of them."""

import json

import pytest
import timm
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

import teachers
from bench.declared import LibraryModel
from teachers import Weights, WeightsError, attention_of
from teachers._library import Layout, Watch, layout
from teachers.libraries import UnfitError, describe
from teachers.libraries.timm import configuration, transform

VIT = "vit_tiny_patch16_224"

pytestmark = pytest.mark.usefixtures("few_layers")


def drawn(side: int, count: int = 2) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(256, (count, 3, side, side), generator=generator, dtype=torch.uint8)


@pytest.mark.parametrize(("pool", "rows"), [("own", slice(0, 1)), ("avg", slice(1, None))])
def test_attention_is_the_last_layers_own(pool, rows):
    """Seen by the dropout after timm's own softmax: CLS's row, or of a pooled mean that of the patches' rows."""
    teacher = teachers.load("x", "random", model=LibraryModel("timm", VIT, size=32, pool=pool))
    attention = teacher.attended(drawn(32)).attention
    layer = teacher.model.blocks[-1].attn
    layer.fused_attn = False
    with attention_of(teacher, layer.attn_drop) as maps:
        teacher.image(drawn(32))
    expected = maps[0].mean(dim=1)[:, rows, 1:].mean(dim=1)
    assert torch.allclose(attention, expected / expected.sum(dim=1, keepdim=True), atol=1e-6)
    # Unfused, the softmax itself is seen.
    assert torch.allclose(teacher.attended(drawn(32)).attention, attention, atol=1e-6)


@torch.no_grad()
def test_attention_of_an_attention_pooling_is_its_querys():
    model = timm.models.VisionTransformer(
        32, 8, embed_dim=64, depth=1, num_heads=4, class_token=False, global_pool="map"
    ).eval()
    features = model.forward_features(torch.rand(2, 3, 32, 32))
    with Watch(layout(features.shape, 0), 2) as watch:
        model.forward_head(features)
    pool = model.attn_pool
    query = pool.q(pool.latent).unflatten(2, (4, -1)).transpose(1, 2)
    key = pool.kv(features)[..., :64].unflatten(2, (4, -1)).transpose(1, 2)
    expected = (query @ key.transpose(2, 3) / 4).softmax(dim=3).mean(dim=1)[:, 0]  # heads of 16
    assert torch.allclose(watch.attention("map"), expected, atol=1e-6)


def test_an_added_mask_counts():
    """BEiT's relative positions, which fused attention is given as a mask: in chunks, too."""
    query, key, value = torch.randn(3, 4, 2, 17, 8)
    bias = torch.randn(1, 2, 17, 17)
    with Watch(Layout("tokens", 4, 16, before=1), 4) as watch:
        F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
    rows = (query @ key.transpose(2, 3) / 8**0.5 + bias).softmax(dim=3).mean(dim=1)[:, 0, 1:]
    assert torch.allclose(watch.attention("token"), rows / rows.sum(dim=1, keepdim=True), atol=1e-6)


def test_a_map_stands_for_attention_where_it_is_strong():
    teacher = teachers.load("x", "random", model=LibraryModel("timm", "convnextv2_atto", size=64))
    features = teacher.attended(drawn(64))
    own = teacher.model.forward_features(teachers.prepare(drawn(64), **teacher.transform))
    assert torch.equal(features.patches[1, 3], own[1, :, 1, 1])  # row by row
    strength = own.square().sum(dim=1).flatten(1)
    assert torch.allclose(features.attention, strength / strength.sum(dim=1, keepdim=True), atol=1e-6)
    assert "squared activations" in teacher.map_meaning


def test_other_poolings():
    by_pool = {
        pool: teachers.load("x", "random", model=LibraryModel("timm", VIT, size=32, pool=pool)).image(drawn(32))
        for pool in ("own", "token", "avg")
    }
    assert torch.equal(by_pool["own"].pooled, by_pool["token"].pooled)
    assert torch.allclose(by_pool["avg"].pooled, by_pool["own"].patches.mean(dim=1), atol=1e-6)


@pytest.mark.parametrize(
    ("model", "key", "reason"),
    [
        (LibraryModel("timm", "vit_tiny_patch16_22"), "timm", f"did you mean '{VIT}'"),
        (LibraryModel("timm", "resnet50.a1_in2k"), "timm", "did you mean 'resnet50.a1_in1k'"),
        (LibraryModel("timm", VIT, size=100), "size", "no multiple of the patches of vit_tiny_patch16_224, 16 px"),
        (LibraryModel("timm", "vit_small_patch14_dinov2", size=225), "size", "14 px"),
        (LibraryModel("timm", "resnet18", pool="token"), "pool", "no token pooling; its own is 'avg'"),
        (LibraryModel("timm", "vit_base_patch16_sapiens2.fb"), "timm", "reads no squares"),
    ],
    ids=lambda value: value.name if isinstance(value, LibraryModel) else "",
)
def test_what_cannot_be_a_teacher_is_refused_with_the_key_at_fault(model, key, reason):
    with pytest.raises(UnfitError, match=reason) as refusal:
        describe(model)
    assert refusal.value.key == key


@pytest.mark.parametrize(
    "name",
    ["convnext_tiny.in12k_ft_in1k_384", "vit_base_patch14_dinov2", "swinv2_cr_tiny_ns_224", "eva02_tiny_patch14_336"],
)
@pytest.mark.parametrize(("size", "crop"), [(None, None), (112, None), (112, 0.5)])
def test_the_transform_is_timms(name, size, crop):
    model = LibraryModel("timm", name, size=size, crop=crop)
    config = timm.data.resolve_data_config(
        {"input_size": size and (3, size, size), "crop_pct": crop},
        pretrained_cfg=timm.get_pretrained_cfg(name).to_dict(),
    )
    resize, cut, _, normalise = timm.data.create_transform(**config).transforms
    ours = transform(configuration(model), model)
    assert torch.allclose(torch.tensor([ours["mean"], ours["std"]]), torch.stack([normalise.mean, normalise.std]))
    assert ours["interpolation"] == resize.interpolation.value and list(cut.size) == [ours["size"]] * 2
    squashed = ours.get("squash") or ours["size"]
    assert resize.size == (ours["short_side"] or (squashed, squashed))


@pytest.fixture(scope="module")
def saved(few_layers, tmp_path_factory):
    """A model with a classifier of seven classes, as a file."""
    own = timm.create_model(VIT, num_classes=7)
    file = tmp_path_factory.mktemp("weights") / "mine.safetensors"
    save_file(own.state_dict(), file)
    return own, file


def pretrained(path, model=VIT, **options):
    return teachers.load("mine", Weights("pretrained", path=path), model=LibraryModel("timm", model, **options))


def test_a_local_file_fills_it_and_its_classifier_is_left_out(saved):
    own, file = saved
    teacher = pretrained(file)
    state = teacher.model.state_dict()
    assert state.keys() == own.state_dict().keys() - {"head.weight", "head.bias"}
    assert all(torch.equal(tensor, own.state_dict()[name]) for name, tensor in state.items())
    assert teacher.provenance["source"] == "local path" and teacher.provenance["licence"] == "apache-2.0"


def test_positions_are_resampled_as_timm_does_it(saved):
    _, file = saved
    overlay = {"file": str(file), "num_classes": 7}
    own = timm.create_model(VIT, pretrained=True, pretrained_cfg_overlay=overlay, num_classes=7, img_size=64)
    assert torch.equal(pretrained(file, size=64).model.pos_embed, own.pos_embed)


def test_a_training_scripts_checkpoint(saved, tmp_path):
    own, _ = saved
    state = {f"module.{name}": tensor for name, tensor in own.state_dict().items()}
    torch.save({"model_ema": {}, "state_dict": state, "epoch": 3}, tmp_path / "last.pth.tar")
    teacher = pretrained(tmp_path / "last.pth.tar")
    assert torch.equal(teacher.model.cls_token, own.cls_token)
    assert teacher.provenance["file"] == "last.pth.tar: state_dict"
    average = {name: 2 * tensor for name, tensor in own.state_dict().items()}
    torch.save({"state_dict": state, "state_dict_ema": average}, tmp_path / "both.pth.tar")
    teacher = pretrained(tmp_path / "both.pth.tar")  # as timm's create_model(checkpoint_path=...) does
    assert torch.equal(teacher.model.cls_token, 2 * own.cls_token)
    assert teacher.provenance["file"] == "both.pth.tar: state_dict_ema"
    for empty in ({}, {"model": {}}):  # timm takes none for a wish to have the hub's
        torch.save(empty, tmp_path / "last.pth.tar")
        with pytest.raises(WeightsError, match=r"last\.pth\.tar must hold tensors by name"):
            pretrained(tmp_path / "last.pth.tar")


def test_a_lightning_modules_checkpoint(saved, tmp_path):
    """The model is an attribute of it, beside others; with two copies of the model nothing says which is meant."""
    own, _ = saved
    state = {f"net.{name}": tensor for name, tensor in own.state_dict().items()} | {"loss.scale": torch.ones(1)}
    torch.save({"state_dict": state, "epoch": 3, "callbacks": {}}, tmp_path / "last.ckpt")
    assert torch.equal(pretrained(tmp_path / "last.ckpt").model.cls_token, own.cls_token)
    state |= {f"ema.{name}": 2 * tensor for name, tensor in own.state_dict().items()}
    torch.save({"state_dict": state}, tmp_path / "last.ckpt")
    with pytest.raises(WeightsError, match="is refused"):
        pretrained(tmp_path / "last.ckpt")


@pytest.mark.parametrize("fault", ["missing", "unexpected", "another model", "not finite"])
def test_weights_that_do_not_fill_it_are_refused(saved, tmp_path, fault):
    own, _ = saved
    state, model = dict(own.state_dict()), "vit_small_patch16_224" if fault == "another model" else VIT
    if fault == "missing":
        del state["blocks.1.attn.qkv.bias"]
    elif fault == "unexpected":
        state["blocks.2.attn.qkv.bias"] = torch.zeros(3)
    elif fault == "not finite":
        state["norm.weight"] = torch.full([192], float("nan"))
    save_file(state, tmp_path / "a.safetensors")
    named = {
        "missing": "blocks.1",
        "unexpected": "blocks.2",
        "another model": "size mismatch",
        "not finite": "norm.weight",
    }
    with pytest.raises(WeightsError, match=named[fault]):
        pretrained(tmp_path / "a.safetensors", model)


def test_a_config_beside_a_local_file_states_its_preprocessing(saved, tmp_path):
    own, _ = saved
    save_file(own.state_dict(), tmp_path / "model.safetensors")
    facts = {"mean": [0.1, 0.2, 0.3], "crop_pct": 1.0, "license": "cc-by-nc-4.0"}
    (tmp_path / "config.json").write_text(json.dumps({"architecture": VIT, "pretrained_cfg": facts}))
    teacher = pretrained(tmp_path)
    assert teacher.transform["mean"] == [0.1, 0.2, 0.3] and teacher.transform["short_side"] == 224
    assert teacher.provenance["licence"] == "cc-by-nc-4.0"
    (tmp_path / "config.json").write_text(json.dumps({"architecture": "vit_small_patch16_224"}))
    with pytest.raises(UnfitError, match="is of vit_small_patch16_224, not of vit_tiny_patch16_224"):
        describe(LibraryModel("timm", VIT), tmp_path / "model.safetensors")


def test_weights_that_are_not_on_the_hub_say_where_they_are():
    with pytest.raises(WeightsError, match=r"download them from https://\S+gcvit_xxtiny\S+ and give their path"):
        teachers.load("mine", "pretrained", model=LibraryModel("timm", "gcvit_xxtiny.in1k", size=224))
