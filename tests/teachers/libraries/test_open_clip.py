"""Models of open_clip as teachers: small ones of each kind of tower, beside open_clip's own two encoders."""

import json

import open_clip
import pytest
import torch
from open_clip.coca_model import CoCa
from open_clip.model import CLIP, CustomTextCLIP
from safetensors.torch import save_file

import teachers
from bench.declared import LibraryModel
from teachers import Weights, WeightsError
from teachers.libraries import UnfitError, describe
from teachers.libraries import open_clip as library
from teachers.libraries.open_clip import OpenClipTeacher, configuration, encode_image, encode_text, transform

CAPTIONS = ["a dog", "a small child plays with a red ball on the beach"]
VISION = {"layers": 2, "width": 64, "head_width": 16, "patch_size": 8, "image_size": 32}
TEXT = {"context_length": 16, "vocab_size": 49408, "width": 64, "heads": 4, "layers": 2}
# SigLIP's tower sees all tokens and pools the last; MobileCLIP2's sees all, and pools the end of the text.
SIGLIP = {"no_causal_mask": True, "proj_bias": True, "pool_type": "last"}
POOLED = {"attentional_pool": True, "attn_pooler_queries": 1, "output_tokens": True}
TIMM = {"timm_model_name": "resnet18", "timm_pool": "avg", "timm_proj": "linear", "image_size": 32}
RESNET = {"layers": [1, 1, 1, 1], "width": 16, "head_width": 16, "image_size": 32}


def built(kind: str) -> torch.nn.Module:
    torch.manual_seed(0)
    makers = {
        "CLIP": lambda: CLIP(32, VISION, TEXT, quick_gelu=True),
        "SigLIP": lambda: CustomTextCLIP(32, VISION | {"pool_type": "avg"}, TEXT | SIGLIP, init_logit_bias=-10),
        "MobileCLIP2": lambda: CustomTextCLIP(32, TIMM, TEXT | {"no_causal_mask": True}),
        "CoCa": lambda: CoCa(
            32, TEXT | {"layers": 1}, TEXT | {"context_length": 15, "embed_cls": True, "output_tokens": True}, VISION | POOLED
        ),
        "ResNet": lambda: CLIP(32, RESNET, TEXT),
    }  # fmt: skip
    return makers[kind]().eval().requires_grad_(False)


def teacher_of(kind: str) -> OpenClipTeacher:
    tokenizer = open_clip.get_tokenizer("ViT-B-32", context_length=15 if kind == "CoCa" else 16)
    return OpenClipTeacher(
        built(kind), describe(LibraryModel("open_clip", "ViT-B-32", size=32)), {}, tokenizer, {}, None
    )


@pytest.mark.parametrize("kind", ["CLIP", "SigLIP", "MobileCLIP2", "CoCa", "ResNet"])
def test_the_image_tower_is_encode_image(kind):
    model, images = built(kind), torch.rand(2, 3, 32, 32)
    own = model.encode_image(images, normalize=False)
    assert torch.allclose(encode_image(model.visual, images)[0], own, atol=1e-5)


def test_patches_of_a_vit_are_in_the_joint_space():
    model, images = built("CLIP"), torch.rand(2, 3, 32, 32)
    model.visual.output_tokens = True
    _, tokens = model.visual(images)
    assert torch.allclose(encode_image(model.visual, images)[1][:, 1:], tokens @ model.visual.proj, atol=1e-5)


@pytest.mark.parametrize(("kind", "cuts"), [("CLIP", True), ("SigLIP", False), ("MobileCLIP2", False), ("CoCa", False)])
def test_the_text_tower_is_encode_text_and_sees_padding_where_that_counts(kind, cuts):
    teacher = teacher_of(kind)
    own = teacher.model.encode_text(teacher.tokenize(CAPTIONS), normalize=False)
    features = teacher.text(CAPTIONS)
    assert teacher.cuts == cuts
    assert torch.allclose(features.pooled, own, atol=1e-5)
    assert features.lengths.tolist() == teacher.lengths(CAPTIONS).tolist() == [4, 13]
    assert features.tokens.shape == (2, 13, 32)
    assert teacher.scale == pytest.approx(1 / 0.07)


def test_cutting_would_change_what_siglips_tower_says():
    model = built("SigLIP")
    ids = open_clip.get_tokenizer("ViT-B-32", context_length=16)(CAPTIONS)
    cut, whole = (torch.nn.functional.normalize(encode_text(model, part)[0]) for part in (ids[:, :13], ids))
    assert (cut - whole).abs().max() > 1e-3


@pytest.mark.parametrize(
    ("model", "key", "reason"),
    [
        (LibraryModel("open_clip", "ViT-B-31"), "open_clip", "there is no 'ViT-B-31', did you mean 'ViT-B-32'"),
        (LibraryModel("open_clip", "ViT-B-32", "laion2b"), "pretrained", "did you mean 'laion2b_"),
        (LibraryModel("open_clip", "ViT-B-32", "openai"), "open_clip", "the other GELU: name ViT-B-32-quickgelu"),
        (LibraryModel("open_clip", "ViT-B-32", size=100), "size", "no multiple of the patches of ViT-B-32, 32 px"),
        (LibraryModel("open_clip", "ViT-B-32", pool="avg"), "pool", "own pooling alone"),
    ],
    ids=lambda value: value.name if isinstance(value, LibraryModel) else "",
)
def test_what_cannot_be_a_teacher_is_refused_with_the_key_at_fault(model, key, reason):
    with pytest.raises(UnfitError, match=reason) as refusal:
        describe(model)
    assert refusal.value.key == key


def test_weights_of_several_preprocessings_have_to_be_named(monkeypatch):
    by_tag = {"one": {"mean": (0.5,) * 3}, "two": {"mean": (0.0,) * 3}}
    monkeypatch.setattr(library.open_clip, "list_pretrained_tags_by_model", lambda name: [*by_tag])
    monkeypatch.setattr(library.open_clip, "get_pretrained_cfg", lambda name, tag: by_tag[tag])
    with pytest.raises(UnfitError, match="several preprocessings: name one of one, two"):
        configuration(LibraryModel("open_clip", "ViT-B-32"))
    assert configuration(LibraryModel("open_clip", "ViT-B-32", "two"))["mean"] == (0.0,) * 3


@pytest.mark.parametrize(
    ("name", "tag"), [("ViT-B-16-SigLIP", "webli"), ("MobileCLIP2-S0", "dfndr2b"), ("ViT-B-32", "laion2b_s34b_b79k")]
)
def test_the_transform_is_open_clips(name, tag):
    config = open_clip.get_pretrained_cfg(name, tag)
    kept = {key: config[key] for key in ("mean", "std", "interpolation", "resize_mode") if config.get(key)}
    resize, *cut, _, _, normalise = open_clip.image_transform(256, is_train=False, **kept).transforms
    ours = transform(config, 256, LibraryModel("open_clip", name, tag))
    assert (list(normalise.mean), list(normalise.std)) == ([*ours["mean"]], [*ours["std"]])
    assert ours["interpolation"] == resize.interpolation.value
    assert (resize.size, bool(cut)) == ((256, True) if ours["short_side"] else ((256, 256), False))


def test_a_local_file_fills_it_and_its_config_states_the_preprocessing(tmp_path, monkeypatch):
    monkeypatch.setattr(library, "build", lambda model, device="cpu": built("CLIP").to(device))
    own = built("CLIP")
    state = {name: tensor + 0.1 for name, tensor in own.state_dict().items()}
    save_file(state, tmp_path / "open_clip_model.safetensors")
    (tmp_path / "open_clip_config.json").write_text(
        json.dumps({"preprocess_cfg": {"mean": [0.1, 0.2, 0.3], "std": [1, 1, 1]}})
    )
    model = LibraryModel("open_clip", "ViT-B-32", size=32)
    teacher = teachers.load("mine", Weights("pretrained", path=tmp_path), model=model)
    assert all(torch.equal(tensor, state[name]) for name, tensor in teacher.model.state_dict().items())
    assert teacher.transform["mean"] == [0.1, 0.2, 0.3] and teacher.provenance["source"] == "local path"
    del state["visual.proj"]
    save_file(state, tmp_path / "open_clip_model.safetensors")
    with pytest.raises(WeightsError, match=r"does not fill ViT-B-32.*\n.*\n.*visual\.proj"):
        teachers.load("mine", Weights("pretrained", path=tmp_path), model=model)


def test_a_tokenizer_that_is_not_here_is_an_error_of_the_first_captions(monkeypatch):
    def offline(name):
        raise OSError("no connection")

    monkeypatch.setattr(library.open_clip, "get_tokenizer", offline)
    tokenize, facts = library._tokenizer("mine", LibraryModel("open_clip", "ViT-B-16-SigLIP2", "webli"))
    assert facts["length"] == 64
    with pytest.raises(WeightsError, match="hf download timm/ViT-B-16-SigLIP2"):
        tokenize(CAPTIONS)
