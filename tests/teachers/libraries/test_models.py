"""The table in docs/models.md, and that features are the library's own output: a few small models, or all of the table.

Models of the table are built with a few of their layers: what is told apart lies before, in and after them, not in how many
there are.
"""

import numpy as np
import open_clip
import pytest
import timm
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image

import teachers
from bench.declared import LibraryModel
from teachers.libraries import describe
from tests.breadth import some
from tests.teachers.libraries.families import BEGIN, DOCUMENT, FAMILIES, row

FEW = ["vit_tiny_patch16_224.augreg_in21k_ft_in1k", "deit_tiny_distilled_patch16_224.fb_in1k",
       "mobilenetv3_small_100.lamb_in1k", "MobileCLIP2-S0"]  # fmt: skip
# Small enough for seconds; where none is given at the model's own size.
SMALL = [
    LibraryModel("timm", "vit_tiny_patch16_224", size=64),
    LibraryModel("timm", "vit_small_patch14_reg4_dinov2", size=56),
    LibraryModel("timm", "vit_small_patch16_dinov3", size=64),
    LibraryModel("timm", "convnextv2_atto.fcmae", size=64),
    LibraryModel("timm", "mobilenetv4_conv_small", size=64),
    LibraryModel("timm", "hiera_tiny_224"),
    LibraryModel("timm", "crossvit_tiny_240"),
]


def model_id(model: LibraryModel) -> str:
    return model.name


@pytest.mark.parametrize("model", [one for one in FAMILIES if one.name in FEW], ids=model_id)
def test_the_tables_rows(model):
    cells = " | ".join(row(model))
    assert f"| {cells} |\n" in DOCUMENT.read_text(encoding="utf-8")


def test_the_table_has_a_row_for_each_family():
    lines = DOCUMENT.read_text(encoding="utf-8").partition(BEGIN)[2].strip().splitlines()[2:]
    assert [line.split("`")[1] for line in lines] == [one.name for one in FAMILIES]


def as_the_library_does(model: LibraryModel, built: torch.nn.Module, picture: Image.Image) -> torch.Tensor:
    """The library's own pooled output of its own transform's input."""
    if model.library == "open_clip":
        config = open_clip.get_pretrained_cfg(model.name, model.tag)
        kept = {key: config[key] for key in ("mean", "std", "interpolation", "resize_mode") if config.get(key)}
        transform = image_transform_v2(PreprocessCfg(size=built.visual.image_size, **kept), is_train=False)
        return built.encode_image(transform(picture)[None], normalize=False)
    config = timm.data.resolve_model_data_config(built)
    if model.size:
        config["input_size"] = (3, model.size, model.size)
    own = timm.create_model(
        model.name,
        num_classes=0,
        **({"img_size": model.size} if built.pretrained_cfg["fixed_input_size"] and model.size else {}),
    )
    own.load_state_dict(built.state_dict())
    return own.eval()(timm.data.create_transform(**config)(picture)[None])


def check(model: LibraryModel) -> None:
    teacher, facts = teachers.load("mine", "random", model=model), describe(model)
    # Of the side that the transform resizes to, so that nothing but the middle is cut out: the inputs are the same to the bit.
    side = teacher.transform["short_side"] or teacher.transform.get("squash") or teacher.size
    pixels = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    with torch.no_grad():
        own = as_the_library_does(model, teacher.model, Image.fromarray(pixels))
    features = teacher.attended(torch.from_numpy(pixels).permute(2, 0, 1)[None])
    largest = own.abs().max()
    assert torch.allclose(features.pooled / largest, own / largest, atol=1e-5)
    assert features.pooled.shape == (1, facts.width)
    if largest < 1e-6:  # random weights may make a deep convolutional model's features vanish: no length, no map
        return
    assert torch.allclose(features.joint.norm(dim=1), torch.ones(1), atol=1e-5)
    if facts.layout is None:
        assert features.patches is None and features.attention is None and facts.attention == "none"
        return
    assert features.patches.shape == (1, facts.layout.side**2, facts.layout.width)
    assert features.attention.shape == (1, facts.layout.side**2) and (features.attention >= 0).all()
    assert torch.allclose(features.attention.sum(dim=1), torch.ones(1), atol=1e-5)


@pytest.mark.usefixtures("few_layers")
@pytest.mark.parametrize("model", some(SMALL, [SMALL[0], SMALL[3], *SMALL[5:]]), ids=model_id)
def test_the_feature_is_the_librarys_own_output(model):
    check(model)
    teacher = teachers.load("mine", "random", model=model)
    assert teacher.image(torch.zeros(1, 3, teacher.size, teacher.size)).attention is None


@pytest.mark.slow
@pytest.mark.usefixtures("few_layers")
@pytest.mark.parametrize("model", FAMILIES, ids=model_id)
def test_every_familys_feature_is_the_librarys_own_output_and_its_row_is_true(model):
    check(model)
    test_the_tables_rows(model)
