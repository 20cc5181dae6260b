"""Models of timm as teachers, beside timm's own forward pass."""

import timm
import torch

import teachers
from bench.declared import LibraryModel


def test_a_small_vit_at_a_size_of_its_own():
    teacher = teachers.load("x", "random", model=LibraryModel("timm", "vit_tiny_patch16_224", size=64))
    pixels = torch.randint(256, (2, 3, 64, 64), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    own = timm.create_model("vit_tiny_patch16_224", num_classes=0, img_size=64).eval()
    own.load_state_dict(teacher.model.state_dict())
    inputs, features = teachers.prepare(pixels, **teacher.transform), teacher.image(pixels)
    with torch.no_grad():
        assert torch.allclose(features.pooled, own(inputs), atol=1e-5)
        assert torch.allclose(features.patches, own.forward_features(inputs)[:, 1:], atol=1e-5)
    assert features.patches.shape == (2, 16, 192)
