"""Students of timm against timm's own forward pass and torchvision's resizing."""

import pytest
import timm
import torch
from torchvision.transforms.v2.functional import InterpolationMode, normalize, resize

import students
from bench.declared import LibraryStudent
from students import Dims
from students.libraries.timm import unfit

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
    [
        ("mobilenetv4_conv_smal", 64, ("timm", "there is no 'mobilenetv4_conv_smal', did you mean 'mobilenetv4_conv_small', ")),
        ("resnet18.a1_in2k", 64, ("timm", "there is no 'resnet18.a1_in2k', did you mean 'resnet18.a1_in1k', ")),
        ("ghostnetv3_100", 32, ("size", "ghostnetv3_100 cannot be trained at 32 px (RuntimeError: Given input size: ")),
        ("ghostnetv3_100", 64, None),
        ("vit_large_patch14_dinov2.lvd142m", 70, None),
    ],
)  # fmt: skip
def test_what_cannot_be_a_student_is_known_before_anything_is_trained(name, size, fault):
    answer = unfit(LibraryStudent(name, size))
    if fault is None:
        assert answer is None
    else:
        assert answer[0] == fault[0] and answer[1].startswith(fault[1])
