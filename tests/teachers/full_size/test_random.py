"""Every teacher of full size with random weights: in both precisions, on two loads, of two pictures."""

import json

import pytest
import torch
import torch.nn.functional as F

import teachers
from tests.teachers.full_size.checkpoints import CAPTIONS, REPOSITORY, pixels_of

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", REPOSITORY)
def test_random_weights_are_the_same_on_two_loads_and_say_so(name, full):
    first, second = full(name), teachers.load(name, "random")
    state = second.state_dict()
    assert all(torch.equal(tensor, state[key]) for key, tensor in first.state_dict().items())
    assert first.provenance["source"] == "random" and first.provenance["revision"] is None
    assert not any(parameter.requires_grad for parameter in second.parameters()) and not second.training
    assert json.loads(json.dumps([first.transform, first.tokenizer, first.provenance]))


@pytest.mark.parametrize("name", REPOSITORY)
def test_random_weights_tell_pictures_apart(name, full):
    """With transformers' own initialisation all of BLIP's features were below 1e-6, the same for every picture."""
    teacher = full(name)
    features = teacher.image(torch.stack([pixels_of(teacher, 1)[0], torch.full((3, teacher.size, teacher.size), 40)]))
    assert features.patches.std() > 0.1 and features.pooled.std() > 0.1
    assert F.cosine_similarity(features.joint[0], features.joint[1], dim=0) < 0.999


@torch.no_grad()
@pytest.mark.parametrize("name", REPOSITORY)
def test_everything_works_in_half_precision(name, full):
    teacher = full(name)
    pixels = pixels_of(teacher, 1)
    plain = teacher.image(pixels)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        images = teacher.image(pixels)
        texts = [teacher.text(CAPTIONS)] if teacher.tokenizer else []
    for features in (images, *texts):
        assert all(torch.isfinite(value).all() for value in vars(features).values())
        assert features.joint.dtype == torch.float32
        assert torch.allclose(features.joint.norm(dim=1), torch.ones(len(features.joint)), atol=1e-5)
    assert images.attention.dtype == torch.float32
    assert torch.allclose(images.attention.sum(dim=1), torch.ones(1), atol=1e-5)
    assert F.cosine_similarity(images.joint, plain.joint).min() > 0.99
    for text in texts:
        assert F.cosine_similarity(text.joint, teacher.text(CAPTIONS).joint).min() > 0.99
