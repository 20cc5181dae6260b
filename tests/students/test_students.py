"""Generic checks of every student in the folder: a new file is tested by being there."""

import pytest
import torch
from safetensors.torch import load, save

import students
from bench import registry
from bench.measure.cost import parameters
from bench.measure.flops import macs
from bench.plan.fits import unfit
from students import Dims
from tests.bench.training import runs

NAMES = registry.names("student")
KINDS = ("classification", "captions")
DIMS = Dims(features=24, embedding=20, bottleneck=12, trunk="pocket")


def has_attention(name):
    return registry.constant("student", name, "ATTENTION", False)


def inputs(name, count=6, side=4):
    generator = torch.Generator().manual_seed(0)
    return {
        "pooled": torch.randn(count, 24, generator=generator),
        "tokens": torch.randn(count, 1 + side * side, 24, generator=generator),
        "pixels": torch.randint(0, 256, (count, 3, 32, 32), generator=generator, dtype=torch.uint8),
    }[registry.constant("student", name, "READS")]


def text_inputs(name, count=6):
    if registry.constant("student", name, "TEXT_READS") == "pooled":
        return (torch.randn(count, 24),)
    return torch.randn(count, 9, 24), torch.tensor([9, 3, 1, 5, 7, 2])[:count]


@pytest.mark.parametrize("name", NAMES)
def test_shapes_and_unit_length(name):
    student = students.build(name, DIMS, "captions").eval()
    embeddings, attention = student.image(inputs(name))
    texts = student.text(*text_inputs(name))
    for output in (embeddings, texts):
        assert output.shape == (6, 20)
        assert torch.allclose(output.norm(dim=1), torch.ones(6), atol=1e-5)
    assert (attention is not None) == has_attention(name)
    if attention is not None:
        assert attention.shape == (6, 16) and (attention >= 0).all()


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_gets_a_finite_gradient(name):
    student = students.build(name, DIMS, "captions").train()
    target = torch.randn(6, 20, generator=torch.Generator().manual_seed(1))
    loss = (student.image(inputs(name))[0] * target).sum() + (student.text(*text_inputs(name)) * target).sum()
    loss.backward()
    for key, parameter in student.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), key
    assert any(parameter.grad.abs().sum() > 0 for parameter in student.image_tower.parameters())


@pytest.mark.parametrize("name", NAMES)
def test_an_embedding_does_not_depend_on_the_rest_of_the_batch(name):
    student = students.build(name, DIMS, "captions").eval()
    images, texts = inputs(name), text_inputs(name)
    together = student.image(images)[0]
    permuted = student.image(images.flip(0))[0].flip(0)
    alone = torch.cat([student.image(images[row : row + 1])[0] for row in range(6)])
    assert torch.allclose(together, permuted, atol=1e-5) and torch.allclose(together, alone, atol=1e-5)
    apart = torch.cat([student.text(*(part[row : row + 1] for part in texts)) for row in range(6)])
    if len(texts) == 2:  # nor on the padding of a caption
        tokens, lengths = texts
        padding = torch.arange(tokens.shape[1]) >= lengths[:, None]
        texts = tokens.masked_fill(padding[:, :, None], 1000.0), lengths
    assert torch.allclose(student.text(*texts), apart, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_saved_and_loaded_it_is_the_same(name):
    student = students.build(name, DIMS, "captions").eval()
    other = students.build(name, DIMS, "captions", seed=1).eval()
    assert not torch.equal(student.image(inputs(name))[0], other.image(inputs(name))[0])
    other.load_state_dict(load(save(student.state_dict())))
    assert torch.equal(student.image(inputs(name))[0], other.image(inputs(name))[0])


@pytest.mark.parametrize("name", NAMES)
def test_a_seed_decides_the_weights_and_leaves_the_global_state_alone(name):
    state = torch.random.get_rng_state()
    first, again = (students.build(name, DIMS, "captions", seed=3).state_dict() for _ in range(2))
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert torch.equal(state, torch.random.get_rng_state())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", KINDS)
def test_there_is_a_text_tower_only_for_captions(name, kind):
    student = students.build(name, DIMS, kind).eval()
    assert (student.text_tower is not None) == (kind == "captions")
    assert parameters(student) == sum(parameters(tower) for tower in (student.image_tower, student.text_tower) if tower)
    assert macs(lambda x: student.image(x)[0], [student.image_tower], inputs(name, count=1)) > 0


@pytest.mark.parametrize("name", ["resnet", "densenet"])
def test_pixels_are_normalised_inside(name):
    """A uint8 image and the same values as float give the same embedding."""
    student = students.build(name, DIMS, "classification").eval()
    assert torch.equal(student.image(inputs(name))[0], student.image(inputs(name).float())[0])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", KINDS)
def test_every_student_with_an_attention_map_may_be_trained_by_attention_transfer(name, kind, tmp_path):
    """Whatever its default loss; one without a map is refused by name."""
    message = unfit("attention-transfer", name, kind)
    if not has_attention(name):
        assert (
            message == f"loss 'attention-transfer' needs a student with an attention map, which '{name}' does not have"
        )
        return
    assert message is None
    pair = "shapes-dino" if kind == "classification" else "scenes-clip"
    case = runs.case(f"{pair}-{name}-5ep", student=name, loss="attention-transfer", epochs=1)
    training = runs.run(tmp_path, case)
    before = {key: value.clone() for key, value in training.student.state_dict().items()}
    assert not runs.same(before, runs.finish(training))
