"""Models of transformers as teachers: small ones saved to a folder, beside the library's own forward pass and processor."""

import numpy as np
import pytest
import torch
import transformers
from transformers import (
    BeitConfig,
    BeitImageProcessor,
    BeitModel,
    BitImageProcessor,
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    ConvNextConfig,
    ConvNextImageProcessor,
    ConvNextModel,
    Dinov2WithRegistersConfig,
    Dinov2WithRegistersModel,
    DINOv3ViTConfig,
    DINOv3ViTModel,
    EfficientNetImageProcessor,
    IJepaConfig,
    IJepaModel,
    LevitImageProcessor,
    MobileViTImageProcessor,
    SiglipConfig,
    SiglipImageProcessor,
    SiglipModel,
    ViTConfig,
    ViTForImageClassification,
    ViTImageProcessor,
    ViTMAEConfig,
    ViTMAEModel,
    ViTModel,
    ViTMSNConfig,
    ViTMSNModel,
)

import teachers
from bench.declared import LibraryModel
from teachers import Weights, WeightsError
from teachers.libraries import UnfitError, describe
from tests.breadth import some

DEEP = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
VIT = DEEP | {"intermediate_size": 128, "image_size": 64, "patch_size": 16}
TEXT = DEEP | {"intermediate_size": 128, "vocab_size": 100, "eos_token_id": 1, "bos_token_id": 2}
SQUARE, SHORT = {"height": 64, "width": 64}, {"size": {"shortest_edge": 80}, "crop_size": {"height": 64, "width": 64}}
MODELS = {
    "ViT": (lambda: ViTModel(ViTConfig(**VIT)), ViTImageProcessor(size=SQUARE), 1),
    "DINOv2 reg": (
        lambda: Dinov2WithRegistersModel(Dinov2WithRegistersConfig(**DEEP, image_size=126, patch_size=16)),
        BitImageProcessor(**SHORT), 5,
    ),
    "DINOv3": (lambda: DINOv3ViTModel(DINOv3ViTConfig(**VIT, num_register_tokens=4)), ViTImageProcessor(size=SQUARE), 5),
    "SigLIP": (lambda: SiglipModel(SiglipConfig(vision_config=VIT, text_config=TEXT)), SiglipImageProcessor(size=SQUARE), 0),
    "CLIP": (lambda: CLIPModel(CLIPConfig(vision_config=VIT, text_config=TEXT)), CLIPImageProcessor(**SHORT), 1),
    "BEiT": (lambda: BeitModel(BeitConfig(**VIT, use_mean_pooling=True)), BeitImageProcessor(size=SQUARE), 1),
    "ConvNeXT": (
        lambda: ConvNextModel(ConvNextConfig(hidden_sizes=[8, 16, 32, 64], depths=[1, 1, 1, 1])),
        ConvNextImageProcessor(size={"shortest_edge": 64}, crop_pct=0.8), 0,
    ),
}  # fmt: skip


def saved(folder, model, processor):
    """A model as ``save_pretrained`` leaves it."""
    torch.manual_seed(0)
    own = model().eval().requires_grad_(False)
    own.save_pretrained(folder)
    processor.save_pretrained(folder)
    return own


def loaded(folder, **options):
    return teachers.load(
        "mine", Weights("pretrained", path=folder), model=LibraryModel("transformers", "a/b", **options)
    )


@pytest.mark.parametrize("name", some(MODELS, ["ViT", "ConvNeXT"]))
def test_the_feature_is_the_poolers_output(name, tmp_path):
    model, processor, before = MODELS[name]
    own = saved(tmp_path, model, processor)
    teacher = loaded(tmp_path)
    picture = np.random.default_rng(0).integers(0, 256, (80, 99, 3), dtype=np.uint8)
    pixels = torch.from_numpy(picture).permute(2, 0, 1)[None]
    inputs = processor(images=picture, return_tensors="pt")["pixel_values"]
    shift = (teachers.prepare(pixels, **teacher.transform) - inputs) * torch.tensor(teacher.transform["std"]).view(
        3, 1, 1
    )
    assert shift.abs().max() * 255 < 2.5  # grey levels
    output = getattr(own, "vision_model", own)(pixel_values=inputs)
    pooled, patches, _ = teacher.outputs(inputs)
    assert torch.allclose(pooled, output.pooler_output.flatten(1), atol=1e-5)
    hidden = output.last_hidden_state
    assert torch.allclose(
        patches, hidden[:, before:] if hidden.ndim == 3 else hidden.flatten(2).transpose(1, 2), atol=1e-5
    )
    attention = teacher.attended(pixels).attention
    assert attention.shape == patches.shape[:2] and torch.allclose(attention.sum(dim=1), torch.ones(1), atol=1e-5)


@pytest.mark.parametrize(("name", "rows"), [("ViT", slice(0, 1)), ("CLIP", slice(0, 1)), ("BEiT", slice(1, None))])
def test_attention_is_that_of_eager_attention(name, rows, tmp_path):
    model, processor, _ = MODELS[name]
    saved(tmp_path, model, processor)
    teacher, pixels = loaded(tmp_path), torch.randint(256, (2, 3, 80, 80), dtype=torch.uint8)
    eager = transformers.AutoModel.from_pretrained(tmp_path, attn_implementation="eager")
    eager = getattr(eager, "vision_model", eager)
    with torch.no_grad():
        output = eager(pixel_values=teachers.prepare(pixels, **teacher.transform), output_attentions=True)
    expected = output.attentions[-1].mean(dim=1)[:, rows, 1:].mean(dim=1)
    assert torch.allclose(teacher.attended(pixels).attention, expected / expected.sum(dim=1, keepdim=True), atol=1e-5)


def test_a_pooler_without_weights_is_not_used(tmp_path):
    own = saved(tmp_path, lambda: ViTForImageClassification(ViTConfig(**VIT)), ViTImageProcessor(size=SQUARE))
    inputs = torch.rand(1, 3, 64, 64)
    pooled, _, _ = loaded(tmp_path).outputs(inputs)
    assert torch.allclose(pooled, own.vit(inputs).last_hidden_state[:, 0], atol=1e-5)


@pytest.mark.parametrize(
    ("model", "before"), [(ViTMSNModel(ViTMSNConfig(**VIT)), 1), (IJepaModel(IJepaConfig(**VIT)), 0)]
)
def test_without_a_pooler_it_is_the_first_token_or_the_patches_mean(model, before, tmp_path):
    own = saved(tmp_path, lambda: model, ViTImageProcessor(size=SQUARE))
    inputs = torch.rand(1, 3, 64, 64)
    hidden, teacher = own(inputs).last_hidden_state, loaded(tmp_path)
    pooled, patches, _ = teacher.outputs(inputs)
    assert torch.allclose(pooled, hidden[:, 0] if before else hidden.mean(dim=1), atol=1e-5)
    assert torch.allclose(patches, hidden[:, before:], atol=1e-5)
    assert teacher.facts.pool == ("token" if before else "avg")


def test_other_poolings_and_another_size(tmp_path):
    own = saved(tmp_path, *MODELS["ViT"][:2])
    inputs = torch.rand(1, 3, 32, 32)
    hidden = own(inputs, interpolate_pos_encoding=True).last_hidden_state
    assert torch.allclose(loaded(tmp_path, size=32, pool="token").outputs(inputs)[0], hidden[:, 0], atol=1e-5)
    assert torch.allclose(
        loaded(tmp_path, size=32, pool="avg").outputs(inputs)[0], hidden[:, 1:].mean(dim=1), atol=1e-5
    )


def test_a_folder_by_name_with_random_weights_and_its_cards_licence(tmp_path):
    saved(tmp_path, *MODELS["ViT"][:2])
    (tmp_path / "README.md").write_text("---\nlicense: other\nlicense_name: dinov3-license\n---\n# A model\n")
    model = LibraryModel("transformers", str(tmp_path))
    first, second = (teachers.load("mine", "random", model=model).state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert describe(model).licence == "dinov3-license"


def test_what_cannot_be_a_teacher_is_refused(tmp_path, monkeypatch):
    saved(tmp_path, lambda: ViTMAEModel(ViTMAEConfig(**VIT)), ViTImageProcessor(size=SQUARE))
    with pytest.raises(UnfitError, match="masks its patches at random"):
        describe(LibraryModel("transformers", str(tmp_path)))
    (tmp_path / "preprocessor_config.json").unlink()
    with pytest.raises(UnfitError, match="has no preprocessor_config"):
        describe(LibraryModel("transformers", "a/b"), tmp_path)


@pytest.mark.parametrize(
    "processor",
    [
        MobileViTImageProcessor(**SHORT),  # swaps channels
        LevitImageProcessor(**SHORT),  # resizes by a factor of its own
        EfficientNetImageProcessor(size=SQUARE),  # normalises twice
        ViTImageProcessor(size=SQUARE, do_rescale=False),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_processor_that_does_more_to_a_picture_is_refused(processor, tmp_path):
    saved(tmp_path, MODELS["ViT"][0], processor)
    with pytest.raises(UnfitError, match=f"its {type(processor).__name__} does more to a picture"):
        describe(LibraryModel("transformers", "a/b"), tmp_path)


def test_weights_that_do_not_fill_it_are_refused(tmp_path):
    from safetensors.torch import load_file, save_file

    saved(tmp_path, *MODELS["ViT"][:2])
    state = load_file(tmp_path / "model.safetensors")
    del state["layernorm.weight"]
    save_file(state, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(WeightsError, match=r"1 missing, 0 unexpected.*layernorm\.weight"):
        loaded(tmp_path)


def test_a_size_that_is_no_multiple_of_the_patches(tmp_path):
    saved(tmp_path, *MODELS["ViT"][:2])
    with pytest.raises(UnfitError, match="40 px"):
        describe(LibraryModel("transformers", "a/b", size=40), tmp_path)
