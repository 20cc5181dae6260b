"""Generic checks of every teacher at pocket size, and the traps that ruined published numbers."""

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

import teachers
from bench import data, registry
from teachers import POCKET, WeightsError
from tests.teachers.full_size.checkpoints import pixels_of

NAMES = [*registry.teachers_for("shapes", "pocket"), *registry.teachers_for("scenes", "pocket")]
TOWERS = [name for name in NAMES if registry.constant("teacher", name, "KIND") == "captions"]


@pytest.fixture(scope="module")
def pixels():
    return data.load("scenes", "test", 12).pixels


@pytest.fixture(scope="module")
def captions():
    return data.load("scenes", "test", 4).captions


@pytest.mark.parametrize("name", NAMES)
def test_it_is_frozen_and_the_same_on_two_loads(name, pixels):
    first, second = (teachers.load(name, "pocket") for _ in range(2))
    assert not first.training and not any(p.requires_grad for p in first.parameters())
    assert torch.equal(first.image(pixels).joint, second.image(pixels).joint)


@pytest.mark.parametrize("name", NAMES)
def test_features_of_images(name, pixels):
    features = teachers.load(name, "pocket").image(pixels)
    side = round(features.patches.shape[1] ** 0.5)
    assert features.pooled.shape == (12, features.patches.shape[2])
    assert features.attention.shape == (12, side * side) and (features.attention >= 0).all()
    assert torch.allclose(features.attention.sum(dim=1), torch.ones(12), atol=1e-5)
    assert torch.allclose(features.joint.norm(dim=1), torch.ones(12), atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_it_normalises_for_itself_and_does_not_look_at_the_rest_of_the_batch(name, pixels):
    teacher = teachers.load(name, "pocket")
    together = teacher.image(pixels)
    assert torch.equal(together.joint, teacher.image(pixels.float()).joint)
    alone = torch.cat([teacher.image(pixels[row : row + 1]).joint for row in range(12)])
    assert torch.allclose(together.joint, alone, atol=1e-5)


@pytest.mark.parametrize("name", TOWERS)
def test_features_of_captions(name, captions):
    teacher = teachers.load(name, "pocket")
    features = teacher.text(captions)
    assert features.tokens.shape[:2] == (20, int(features.lengths.max()))
    words = torch.tensor([len(caption.split()) for caption in captions])
    assert torch.equal(features.lengths, words + 2)  # a first token and the end
    alone = torch.cat([teacher.text(captions[row : row + 1]).joint for row in range(20)])
    assert torch.allclose(features.joint, alone, atol=1e-5), "padding must not count"


def spoil(path, kind):
    if kind == "lost":
        return
    save_file(load_file(POCKET / path.name), path)
    state = load_file(path)
    if kind == "truncated":
        path.write_bytes(path.read_bytes()[:-10])
    elif kind == "partly filled":
        save_file({key: state[key] for key in sorted(state)[1:]}, path)
    else:
        state[min(state)].view(-1)[0] = float("nan")
        save_file(state, path)


@pytest.mark.parametrize(
    ("kind", "fault"),
    [("lost", "is missing"), ("truncated", "cannot be read as tensors"), ("partly filled", "1 missing: {}"),
     ("not finite", "1 not finite: {}")],
)  # fmt: skip
@pytest.mark.parametrize("name", NAMES)
def test_lost_or_damaged_weights_are_named_with_the_command_that_gets_them_back(
    name, kind, fault, tmp_path, monkeypatch
):
    monkeypatch.setattr(teachers, "POCKET", tmp_path)
    path = tmp_path / f"{name}.safetensors"
    spoil(path, kind)
    with pytest.raises(WeightsError) as refusal:
        teachers.load(name, "pocket")
    message = str(refusal.value)
    assert fault.format(min(load_file(POCKET / path.name))) in message and "leave out" not in message
    assert f"git checkout -- {path}\n" in message and f"python -m teachers.pocket.train {name}" in message


@pytest.mark.parametrize("name", NAMES)
def test_shipped_weights_are_small_and_have_a_card(name):
    assert (POCKET / f"{name}.safetensors").stat().st_size <= 2 * 2**20
    card = (POCKET / f"{name}.md").read_text()
    assert f"python -m teachers.pocket.train {name}" in card and "untrained" in card


@pytest.mark.parametrize("weights", ["pocket", pytest.param("random", marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", ["dino", "beit"])
def test_dino_and_beit_give_timms_own_pooling(name, weights):
    """Without a classifier timm's output is its pooled feature: DINO's CLS token, BEiT's normalised mean over patches."""
    teacher = teachers.load(name, weights)
    pixels = pixels_of(teacher, 1)
    inputs, features = teachers.prepare(pixels, **teacher.transform), teacher.image(pixels)
    tokens = teacher.model.forward_features(inputs)
    assert torch.allclose(features.pooled, teacher.model(inputs), atol=1e-5)
    assert torch.allclose(features.patches, tokens[:, 1:], atol=1e-5)
    assert torch.allclose(features.pooled, tokens[:, 0], atol=1e-5) == (name == "dino")


@pytest.mark.parametrize("name", NAMES)
def test_a_pocket_teacher_sees_all_of_a_picture_of_its_own_size(name):
    teacher = teachers.load(name, "pocket")
    pixels, (mean, std) = (
        pixels_of(teacher),
        (torch.tensor(teacher.transform[key]).view(3, 1, 1) for key in ("mean", "std")),
    )
    assert torch.equal(teachers.prepare(pixels, **teacher.transform), (pixels / 255 - mean) / std)


@pytest.mark.parametrize("weights", ["pocket", "random"])
def test_beits_norm_is_for_the_mean_of_its_patches_alone_as_published(weights):
    teacher = teachers.load("beit", weights)
    with torch.no_grad():
        teacher.model.fc_norm.weight.mul_(2.0)  # as far from the patches' own length as trained weights are
    blocks = []
    teacher.model.blocks[-1].register_forward_hook(lambda *given: blocks.append(given[-1]))
    features = teacher.image(pixels_of(teacher, 1))
    assert torch.equal(features.patches, blocks[0][:, 1:])
    mean = features.patches.mean(dim=1)
    normed = (mean - mean.mean(dim=1, keepdim=True)) / mean.var(dim=1, correction=0, keepdim=True).add(1e-6).sqrt()
    norm = teacher.model.fc_norm
    assert torch.allclose(features.pooled, normed * norm.weight + norm.bias, atol=1e-4)
    assert "no final norm" in registry.constant("teacher", "beit", "NOTE")


def test_clip_equals_open_clips_own_encoders(pixels, captions):
    from teachers import _words as words
    from teachers.clip import MEAN, STD

    teacher = teachers.load("clip", "pocket")
    model = teacher.model
    image = model.encode_image(teachers.prepare(pixels, 32, MEAN, STD), normalize=True)
    ids = words.encode(captions, words.BEGIN)
    padded = torch.nn.functional.pad(ids, (0, words.CONTEXT - ids.shape[1]))
    assert torch.allclose(teacher.image(pixels).joint, image, atol=1e-5)
    assert torch.allclose(teacher.text(captions).joint, model.encode_text(padded, normalize=True), atol=1e-5)
    assert teacher.scale == pytest.approx(model.logit_scale.exp().item())


def test_blip_equals_transformers_own_contrastive_scores(pixels, captions):
    from teachers.blip import MEAN, STD, tokenize_pocket

    teacher = teachers.load("blip", "pocket")
    ids, mask = tokenize_pocket(captions)
    inputs = teachers.prepare(pixels, 32, MEAN, STD)
    output = teacher.model(input_ids=ids, attention_mask=mask, pixel_values=inputs, use_itm_head=False)
    ours = teacher.image(pixels).joint @ teacher.text(captions).joint.T
    assert torch.allclose(ours, output.itm_score, atol=1e-5)
    assert teacher.scale == pytest.approx(1 / 0.07)


@pytest.mark.parametrize("name", NAMES)
def test_the_full_size_architecture_has_the_stated_shape(name):
    """On the meta device: input side, tokens and widths of design and model cards; no weights are needed."""
    size, tokens, width = {
        "dino": (224, 196, 768),
        "beit": (224, 196, 768),
        "clip": (224, 49, 512),
        "blip": (384, 576, 768),
    }[name]
    with torch.device("meta"):
        teacher = teachers.load(name, "random")
        features = teacher.image(torch.empty(2, 3, size, size))
    assert teacher.size == size
    assert features.patches.shape == (2, tokens, width) and features.pooled.shape == (2, width)
    assert (teacher.reduce_to or width) == (512 if name == "blip" else width)


@pytest.mark.parametrize(
    ("width", "height", "size"), [(64, 64, 224), (64, 64, 248), (640, 427, 224), (300, 225, 31), (90, 45, 45)]
)
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_pictures_are_resized_as_pillow_resizes_them(width, height, size, dtype):
    """Black and white noise, which overshoots most: without clipping after the width it is 30 levels off, without
    ``antialias``, which is another kernel, on average 4 (findings/)."""
    pixels = (
        torch.randint(0, 2, (3, height, width), generator=torch.Generator().manual_seed(0), dtype=torch.uint8) * 255
    )
    picture = Image.fromarray(pixels.permute(1, 2, 0).numpy()).resize((size, size), Image.Resampling.BICUBIC)
    ours = teachers.fitted(pixels[None].to(dtype), size)[0].permute(1, 2, 0)
    assert (ours - torch.from_numpy(np.array(picture)).float()).abs().max() <= 2
