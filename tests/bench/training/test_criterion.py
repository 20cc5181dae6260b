"""The criterion: what each loss is applied to, what is trained with it, and its gradients."""

import copy

import pytest
import torch
from torch.nn import functional

import students
from bench import registry
from bench.kit.errors import UserError
from bench.training.losses import Criterion, TeacherBatch, Widths
from bench.training.losses.contrastive import contrastive
from bench.training.losses.dist_loss import dist
from bench.training.losses.feature_cosine import feature_cosine
from bench.training.losses.feature_mse import feature_mse
from bench.training.losses.logit_matching import image_text_matching, logit_matching
from bench.training.losses.rkd import ANGLE_POINTS, rkd
from students import Dims
from tests.breadth import some

BATCH, STUDENT, TEACHER, CLASSES = 6, 4, 9, 3
WIDTHS = Widths(STUDENT, TEACHER, CLASSES)
NEEDS = {name: registry.constant("loss", name, "NEEDS") for name in registry.names("loss")}
ON_CAPTIONS = [name for name, needs in NEEDS.items() if needs not in ("classification", "images", "map")]
ON_IMAGES = [name for name, needs in NEEDS.items() if needs not in ("captions", "map")]
EVERY = [(name, True) for name in ON_CAPTIONS] + [(name, False) for name in ON_IMAGES]


def embeddings(*shape, seed):
    return functional.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


def teacher_batch(texts=True, width=TEACHER):
    generator = torch.Generator().manual_seed(1)
    images, captions = functional.normalize(torch.randn(2, BATCH, width, generator=generator), dim=-1)
    attention, labels = torch.rand(BATCH, 16, generator=generator), torch.arange(BATCH) % CLASSES
    logits = 5 * torch.randn(BATCH, CLASSES, generator=generator)
    return TeacherBatch(images, captions if texts else None, attention, 20.0, labels, logits)


def double(teacher):
    parts = (None if part is None else part.double() for part in (teacher.images, teacher.texts, teacher.attention))
    return TeacherBatch(*parts, teacher.scale, teacher.labels, teacher.logits.double())


def outputs(width=STUDENT, seed=2):
    generator = torch.Generator().manual_seed(seed)
    images, texts = functional.normalize(torch.randn(2, BATCH, width, generator=generator), dim=-1)
    return images, texts, torch.rand(BATCH, 16, generator=generator)


@pytest.mark.parametrize(("name", "texts"), some(EVERY, EVERY[::4]))
def test_gradients_of_every_criterion(name, texts):
    """Autograd against finite differences, in float64; every trainable part is trained."""
    criterion = Criterion(name, WIDTHS, 0).double()
    teacher = double(teacher_batch(texts))

    def loss(criterion, x, y, a):
        unit = functional.normalize
        return criterion(unit(x, dim=-1), unit(y, dim=-1) if texts else None, a, teacher)

    inputs = [tensor.double().requires_grad_() for tensor in outputs()]
    # A copy for each call, as a loss may remember earlier batches.
    assert torch.autograd.gradcheck(lambda *inputs: loss(copy.deepcopy(criterion), *inputs), inputs)
    loss(criterion, *inputs).backward()
    # These compare without the student's scale.
    unscaled = {"log_scale"} if name in ("feature-mse", "feature-cosine", "rkd", "queue-matching", "phi-s") else set()
    for key, parameter in criterion.named_parameters():
        assert key in unscaled or not parameter.requires_grad or parameter.grad.abs().max() > 0, key


@pytest.mark.parametrize(("name", "texts"), EVERY)
def test_no_loss_hides_an_embedding_that_is_not_a_number(name, texts):
    """Training stops on a loss that is not finite, and on nothing else."""
    images, captions, attention = outputs()
    images[2, 1] = float("nan")
    criterion = Criterion(name, WIDTHS, 0)
    assert criterion(images, captions if texts else None, attention, teacher_batch(texts)).isnan()


@pytest.mark.parametrize("captions", [True, False])
def test_each_loss_reads_just_the_targets_that_it_states(captions):
    """With those alone the loss is the same; without any one of them it cannot be computed."""
    for name in ON_CAPTIONS if captions else ON_IMAGES:
        teacher = teacher_batch(captions)
        images, texts, attention = outputs()
        student = (images, texts if captions else None, attention)

        def only(targets, teacher=teacher):
            parts = [part if target in targets else None for part, target in
                     ((teacher.images, "joint"), (teacher.texts, "joint"), (teacher.attention, "attention"))]  # fmt: skip
            rest = (getattr(teacher, target) if target in targets else None for target in ("labels", "logits"))
            return TeacherBatch(*parts, teacher.scale, *rest)

        targets = registry.constant("loss", name, "TARGETS")
        ours, expected = (Criterion(name, WIDTHS, 0)(*student, part) for part in (only(targets), teacher))
        assert torch.equal(ours, expected), name
        for missing in targets:
            with pytest.raises((TypeError, AttributeError)):
                Criterion(name, WIDTHS, 0)(*student, only([target for target in targets if target != missing]))


@pytest.mark.parametrize(("name", "expected"), [
    ("combined", lambda guess, target, crossed: contrastive(guess) + image_text_matching(guess, target)),
    ("dist-loss", lambda guess, target, crossed: (dist(guess, target) + dist(guess.T, target.T)) / 2),
    ("icl", lambda guess, target, crossed: sum(functional.cross_entropy(one, torch.arange(BATCH)) for one in crossed) / 2),
])  # fmt: skip
def test_losses_of_similarities_on_captions(name, expected):
    images, texts, _ = outputs(TEACHER)
    teacher = teacher_batch()
    guess, target = images @ texts.T / 0.07, 20.0 * teacher.images @ teacher.texts.T
    crossed = images @ teacher.texts.T / 0.07, texts @ teacher.images.T / 0.07
    ours = Criterion(name, Widths(TEACHER, TEACHER), 0)(images, texts, None, teacher)
    assert ours.item() == pytest.approx(expected(guess, target, crossed).item(), rel=1e-5)


def test_a_vision_only_student_is_taught_by_what_is_off_the_diagonal():
    """With the diagonal left in, the same pair of models would have a loss near zero."""
    teacher = teacher_batch(texts=False)
    images = outputs(TEACHER, seed=3)[0]
    masked = Criterion("logit-matching", WIDTHS, 0)(images, None, None, teacher).item()
    unmasked = logit_matching(images @ images.T / 0.07, teacher.images @ teacher.images.T / 0.07).item()
    assert masked > 1.0 > 0.2 > unmasked


def test_feature_losses_are_the_sum_over_both_towers_behind_one_projector():
    images, texts, _ = outputs()
    for name, function in (("feature-mse", feature_mse), ("feature-cosine", feature_cosine)):
        criterion, teacher = Criterion(name, WIDTHS, 0), teacher_batch()
        weight = criterion.loss.projector.weight.detach()
        expected = function(images @ weight.T, teacher.images) + function(texts @ weight.T, teacher.texts)
        assert criterion(images, texts, None, teacher).item() == pytest.approx(expected.item(), rel=1e-6)
        alone = criterion(images, None, None, teacher_batch(texts=False)).item()
        assert alone == pytest.approx(function(images @ weight.T, teacher.images).item(), rel=1e-6)


def test_rkd_on_captions_sees_relations_between_images_and_texts():
    """Turning the texts alone leaves all relations within a modality, and must not go unnoticed."""
    images, texts, _ = outputs(TEACHER)
    teacher = TeacherBatch(images, texts, None, 20.0)
    criterion = Criterion("rkd", Widths(TEACHER, TEACHER), 0)
    assert criterion(images, texts, None, teacher).item() == pytest.approx(0, abs=1e-6)
    turned = texts.roll(1, dims=1)
    assert rkd(turned, texts).item() == pytest.approx(0, abs=1e-6)
    assert criterion(images, turned, None, teacher).item() > 1.0


def test_rkd_of_a_large_batch_takes_angles_of_both_modalities():
    """Its first points are pairs: were they images only, the angles would not see the captions."""
    images, texts = embeddings(2, ANGLE_POINTS, 5, seed=1)
    teacher = embeddings(2, ANGLE_POINTS, 7, seed=2)
    points = [
        torch.stack([one for pair in zip(*both, strict=True) for one in pair]) for both in ((images, texts), teacher)
    ]
    ours = Criterion("rkd", WIDTHS, 0)(images, texts, None, TeacherBatch(*teacher, None, 20.0)).item()
    assert ours == pytest.approx(rkd(*points).item(), rel=1e-6)


@pytest.mark.parametrize("name", ["dist-loss", "rkd", "logit-matching"])
def test_a_student_that_says_what_the_teacher_says_has_nothing_to_learn(name):
    images, texts, _ = outputs(TEACHER)
    criterion = Criterion(name, Widths(TEACHER, TEACHER), 0)
    for captions in (texts, None):
        teacher = TeacherBatch(images, captions, None, 1 / 0.07)
        assert criterion(images, captions, None, teacher).item() == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("name", NEEDS)
@pytest.mark.parametrize("width", [STUDENT, TEACHER])
def test_only_what_the_loss_needs_is_trained(name, width):
    criterion = Criterion(name, Widths(width, TEACHER, CLASSES, map=5, tokens=7), 0)
    shapes = {key: tuple(part.shape) for key, part in criterion.named_parameters() if part.requires_grad}
    expected = {"log_scale": ()}
    always = ("feature-mse", "feature-cosine", "queue-matching", "phi-s", "patch-matching")
    if name in always or (name in ("icl", "kd-sum") and width != TEACHER):
        expected["loss.projector.weight"] = (TEACHER, width)
    if NEEDS[name] == "classification":
        expected["loss.classifier.weight"] = (CLASSES, width)
    if name == "patch-matching":
        expected |= {"loss.patches.weight": (7, 5), "loss.patches.bias": (7,)}
    assert shapes == expected


def test_a_projector_that_widens_keeps_the_angles_at_first():
    images = outputs()[0]
    projected = Criterion("feature-mse", WIDTHS, 0).loss.projector(images)
    assert torch.allclose(projected @ projected.T, images @ images.T, atol=1e-5)


@pytest.mark.parametrize("name", ["feature-mse", "icl", "cross-entropy"])
def test_a_seed_decides_the_first_values_and_leaves_the_global_state_alone(name):
    state = torch.random.get_rng_state()
    first, again, other = (Criterion(name, WIDTHS, seed).state_dict() for seed in (3, 3, 4))
    assert torch.equal(state, torch.random.get_rng_state())
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)


def test_the_scale_starts_at_clips_and_is_clamped():
    criterion = Criterion("contrastive", WIDTHS, 0)
    assert criterion.log_scale.exp().item() == pytest.approx(1 / 0.07)
    with torch.no_grad():
        criterion.log_scale.fill_(10.0)
    criterion.clamp()
    assert criterion.log_scale.exp().item() == pytest.approx(100.0)


def test_a_classifier_does_not_begin_as_a_copy_of_the_student():
    """Both are made from the case's seed, and linear layers of one shape would get the same numbers."""
    student = students.build("projection", Dims(12, 10), "classification", 0)
    classifier = Criterion("cross-entropy", Widths(12, 12, 10), 0).loss.classifier
    assert classifier.weight.shape == student.image_tower.weight.shape
    cosines = torch.cosine_similarity(classifier.weight, student.image_tower.weight)
    assert cosines.abs().max() < 0.95


@pytest.mark.parametrize(
    ("returned", "what"), [(torch.ones(4), r"a tensor of shape \[4\]"), (1.0, "a float"), (None, "a NoneType")]
)
def test_a_loss_that_is_no_scalar_is_named(returned, what):
    criterion = Criterion("rkd", WIDTHS, 0)
    criterion.loss.forward = lambda student, teacher: returned
    with pytest.raises(UserError, match=f"loss 'rkd' returns {what}, expected a scalar"):
        criterion(*outputs(), teacher_batch())
