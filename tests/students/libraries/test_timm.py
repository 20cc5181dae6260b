"""Students of timm against timm's own forward pass and torchvision's resizing."""

import pytest
import timm
import torch
from huggingface_hub import constants
from safetensors.torch import save_file
from timm.models.vision_transformer import checkpoint_filter_fn
from torchvision.transforms.v2.functional import InterpolationMode, normalize, resize

import students
from bench.declared import LibraryStudent
from bench.kit.errors import UserError
from students import Dims
from students.libraries.timm import unfit
from tests.breadth import some

DIMS = Dims(features=24, embedding=20, bottleneck=12)


def pixels(count, side):
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, 3, side, side), generator=generator, dtype=torch.uint8)


@pytest.mark.parametrize(
    ("name", "size", "width"),
    [
        ("mobilenetv4_conv_small_050", 64, 1280),  # though its num_features are 480
        ("vit_tiny_patch16_224.augreg_in21k", 32, 192),  # mean and deviation of 0.5; an input side that is built in
        ("swin_s3_tiny_224", 64, 768),
    ],
)
def test_it_is_timms_own_forward_pass_and_a_bottleneck(name, size, width):
    student = students.build("mine", DIMS, "classification", 1, LibraryStudent(name, size)).eval()
    tower = student.image_tower
    assert tower.head[0].in_features == width and student.text_tower is None
    sized = {"img_size": size} if "vit" in name or "swin" in name else {}
    model = timm.create_model(name, num_classes=0, **sized).eval()
    model.load_state_dict(tower.trunk.state_dict())
    facts = timm.get_pretrained_cfg(name)
    images, attention = student.image(pixels(3, size))
    expected = tower.head(model(normalize(pixels(3, size) / 255, facts.mean, facts.std)))
    torch.testing.assert_close(images, torch.nn.functional.normalize(expected), atol=1e-5, rtol=0)
    assert attention is None


@pytest.mark.parametrize(("side", "size"), [(48, 32), (32, 64)])
def test_pixels_of_another_side_are_resized_with_antialiasing(side, size):
    """To a grey level, of which the least deviation has 57."""
    student = students.build("mine", DIMS, "classification", 1, LibraryStudent("resnet10t", size)).eval()
    seen = []
    student.image_tower.trunk.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    student.image(pixels(2, side))
    resized = resize(pixels(2, side), [size, size], InterpolationMode.BICUBIC, antialias=True)
    facts = timm.get_pretrained_cfg("resnet10t")
    torch.testing.assert_close(seen[0], normalize(resized / 255, facts.mean, facts.std), atol=1 / 57, rtol=0)


@pytest.mark.parametrize(
    ("name", "size", "fault"),
    some([
        ("mobilenetv4_conv_smal", 64, ("timm", "there is no 'mobilenetv4_conv_smal', did you mean 'mobilenetv4_conv_small', ")),
        ("resnet18.a1_in2k", 64, ("timm", "there is no 'resnet18.a1_in2k', did you mean 'resnet18.a1_in1k', ")),
        ("ghostnetv3_100", 32, ("size", "ghostnetv3_100 cannot be trained at 32 px (Given input size: ")),
        ("ghostnetv3_100", 64, None),
        ("vit_large_patch14_dinov2.lvd142m", 70, None),
        ("vit_tiny_patch16_224", 40, ("size", "vit_tiny_patch16_224 cuts 16 px patches and would not see the last 8 of 40 px")),
    ], lambda each: each[0] in ("mobilenetv4_conv_smal", "ghostnetv3_100", "vit_tiny_patch16_224")),
)  # fmt: skip
def test_what_cannot_be_a_student_is_known_before_anything_is_trained(name, size, fault):
    answer = unfit(LibraryStudent(name, size))
    if fault is None:
        assert answer is None
    else:
        assert answer[0] == fault[0] and answer[1].startswith(fault[1])


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache of the hub, in offline mode."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path


def publish(cache, tensors):
    """A snapshot of test_vit's repository."""
    folder = cache / "models--timm--test_vit.r160_in1k"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("0" * 40)
    (folder / "snapshots" / ("0" * 40)).mkdir(parents=True)
    save_file(tensors, folder / "snapshots" / ("0" * 40) / "model.safetensors")


def test_weights_that_lack_a_block_are_refused(cache):
    name = "test_vit.r160_in1k"
    tensors = {key: value for key, value in timm.create_model(name).state_dict().items() if "blocks.1." not in key}
    publish(cache, tensors)
    with pytest.raises(UserError, match=r"(?s)does not fill it: .*blocks\.1\.norm1"):
        students.build("mine", DIMS, "classification", 1, LibraryStudent(name, 160, pretrained=True))


def test_pretrained_weights_come_from_the_hubs_cache(cache):
    """Of a model whose positions timm resizes to the input side."""
    name = "test_vit.r160_in1k"
    source = timm.create_model(name)
    publish(cache, source.state_dict())
    student = students.build("mine", DIMS, "classification", 1, LibraryStudent(name, 96, pretrained=True))
    expected = timm.create_model(name, num_classes=0, img_size=96)
    expected.load_state_dict(checkpoint_filter_fn(source.reset_classifier(0) or source.state_dict(), expected))
    trunk = student.image_tower.trunk
    assert all(torch.equal(trunk.state_dict()[key], value) for key, value in expected.state_dict().items())
    assert trunk.pos_embed.shape != source.pos_embed.shape


def test_weights_that_are_not_there_are_asked_for_with_a_command(cache):
    model = LibraryStudent("test_vit.r160_in1k", 96, pretrained=True)
    assert unfit(model) is None  # which needs none
    with pytest.raises(UserError) as refusal:
        students.build("mine", DIMS, "classification", 1, model)
    message = str(refusal.value)
    assert "hf download timm/test_vit.r160_in1k model.safetensors\n" in message and str(cache) in message


def test_a_model_without_published_weights_is_refused_where_they_are_asked_for():
    model = LibraryStudent("mixer_l32_224", 224, pretrained=True)
    assert unfit(model) == ("pretrained", "timm has no weights of 'mixer_l32_224'")
