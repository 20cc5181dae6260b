"""Scores of real embeddings of drawn images: recomputed by hand, and at chance where labels or captions are exchanged."""

import math
from dataclasses import replace

import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier
from torch.nn.functional import normalize

import students
import teachers
from bench import data
from bench.features.extract import Needs, Pass, extract
from bench.kit import paths
from bench.measure import accuracy
from bench.plan import matrix
from students import Dims
from tests.bench.counting import silent

CPU = torch.device("cpu")
BASE = {case.id: case for case in matrix.cases(matrix.load(), "pocket")}
CLASSES, PAIRS = BASE["shapes-dino-projection-5ep"], BASE["scenes-clip-projection-5ep"]
TRAIN, TEST = 480, 240


@pytest.fixture(scope="module")
def distilled(tmp_path_factory):
    """Features of both kinds, by kind."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(paths.VARIABLE, str(tmp_path_factory.mktemp("data")))
        found = {}
        for case in (CLASSES, PAIRS):
            work = Pass(
                case.dataset, teachers.load(case.teacher, "pocket"), CPU, "fp32", Needs(False, False), print, silent
            )
            splits = data.load(case.dataset, "train", TRAIN), data.load(case.dataset, "test", TEST)
            found[case.kind] = extract(work, *splits)
        yield found


def untrained(case, distilled):
    dims = Dims(distilled.width, case.embedding, case.bottleneck, case.trunk)
    return students.build(case.student, dims, case.kind, case.seed)


def binomial(chance, count):
    """Bounds in percent that a share of ``count`` draws leaves once in a thousand times."""
    spread = 3.29 * math.sqrt(chance * (100 - chance) / count)
    return max(0.0, chance - spread), chance + spread


def test_an_untrained_students_knn_is_that_of_its_matrix_by_hand(distilled):
    found = distilled["classification"]
    student = untrained(CLASSES, found)
    weight, bias = student.image_tower.weight, student.image_tower.bias
    banked, queries = (
        normalize(part.column("pooled").all() @ weight.T + bias, dim=1).detach() for part in (found.train, found.test)
    )
    oracle = KNeighborsClassifier(20, metric="cosine", weights=lambda distances: torch.exp(
        (1 - torch.from_numpy(distances)) / 0.07).numpy())  # fmt: skip
    oracle.fit(banked.numpy(), found.train.split.labels.numpy())
    expected = 100 * oracle.score(queries.numpy(), found.test.split.labels.numpy())
    measured = accuracy.score(accuracy.embedded_by(student, CLASSES, found, 1.0), found, 64).metrics
    assert measured["knn_top1"] == pytest.approx(expected, abs=1e-4)
    assert measured["paper_accuracy"] == 100.0  # the artefact: nothing was learned
    assert 8 < expected < 100


def test_an_untrained_students_recall_is_that_of_its_matrices_by_hand(distilled):
    found = distilled["captions"]
    student = untrained(PAIRS, found)
    images = normalize(student.image_tower(found.test.column("pooled").all()), dim=1)
    texts = normalize(student.text_tower(found.test.column("text_pooled").all()), dim=1)
    best = (images @ texts.T).argmax(dim=1)
    expected = 100 * (found.test.split.owner[best] == torch.arange(TEST)).double().mean().item()
    measured = accuracy.score(accuracy.embedded_by(student, PAIRS, found, 1.0), found, 64).metrics
    assert measured["image_to_text_r1"] == pytest.approx(expected)


@pytest.mark.parametrize("chosen", [CLASSES, PAIRS], ids=["labels", "captions"])
def test_exchanged_labels_and_captions_score_chance(distilled, chosen):
    """With a teacher that knows much; the same embeddings with the right ones score far above it."""
    case, found = chosen, distilled[chosen.kind]
    own = accuracy.score(accuracy.embedded_by_teacher(case, found), found, 64)
    chance = accuracy.chance(found)
    assert set(own.shuffled) == set(chance)
    for name, value in own.shuffled.items():
        low, high = binomial(chance[name], TEST)
        assert low <= value <= high, name
        assert own.metrics[name] > 10 * high or own.metrics[name] > 60


def test_a_teacher_is_wholly_faithful_to_itself(distilled):
    for case in (CLASSES, PAIRS):
        found = distilled[case.kind]
        teacher = accuracy.embedded_by_teacher(case, found)
        own = accuracy.score(teacher, found, 64)
        same = accuracy.fidelity(teacher, own, teacher, own)
        assert same["neighbour_overlap_10"] == 100 and same["agreement_1"] == 100
        assert same["cka"] == pytest.approx(1) and same["similarity_kl"] == pytest.approx(0, abs=1e-9)


def test_the_order_of_the_held_out_images_changes_nothing(distilled):
    found = distilled["classification"]
    own = accuracy.embedded_by_teacher(CLASSES, found)
    order = torch.randperm(TEST, generator=torch.Generator().manual_seed(1))
    moved = replace(found.test.split, labels=found.test.split.labels[order])
    turned = replace(found, test=type(found.test)(moved, found.test._sources, found.test.scale, CPU))
    before = accuracy.score(own, found, 64).metrics
    after = accuracy.score(replace(own, images=own.images[order]), turned, 64).metrics
    assert after == pytest.approx(before)


def test_zero_shot_reads_the_prompts_of_single_objects(distilled):
    found = distilled["captions"]
    concepts = found.test.split.concepts
    measured = accuracy.score(accuracy.embedded_by_teacher(PAIRS, found), found, 64).metrics
    assert len(found.prompts.text_joint) == len(concepts.prompts)
    clear = concepts.labels >= 0
    means = torch.stack([
        normalize(found.prompts.text_joint[concepts.prompt_classes == one], dim=1).mean(dim=0)
        for one in range(len(concepts.names))
    ])  # fmt: skip
    guesses = (found.test.joint[clear] @ normalize(means, dim=1).T).argmax(dim=1)
    expected = 100 * (guesses == concepts.labels[clear]).double().mean().item()
    assert measured["zero_shot_top1"] == pytest.approx(expected) and expected > 20  # chance is 100 / 64


def test_pixels_are_scored_as_they_are(distilled):
    found = distilled["classification"]
    flat = [
        normalize(part.split.pixels.float().flatten(1) - 127.5, dim=1).numpy() for part in (found.train, found.test)
    ]
    oracle = KNeighborsClassifier(20, metric="cosine", weights=lambda distances: torch.exp(
        (1 - torch.from_numpy(distances)) / 0.07).numpy())  # fmt: skip
    oracle.fit(flat[0], found.train.split.labels.numpy())
    expected = 100 * oracle.score(flat[1], found.test.split.labels.numpy())
    assert accuracy.knn_of_pixels(found)["knn_top1"] == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("chosen", [CLASSES, PAIRS], ids=["labels", "captions"])
def test_what_the_last_evaluation_saw_is_not_embedded_again(distilled, chosen, monkeypatch):
    found = distilled[chosen.kind]
    student, embedded = untrained(chosen, found), []

    def counted(*args, **kwargs):
        embedded.append(embedded_by(*args, **kwargs))
        return embedded[-1]

    embedded_by = accuracy.embedded_by
    monkeypatch.setattr(accuracy, "embedded_by", counted)
    fresh = accuracy.Evaluation(student, chosen, found, mixed=False)
    assert torch.equal(fresh.embedded(9.0).images, embedded[0].images) and len(embedded) == 1
    followed = accuracy.Evaluation(student, chosen, found, mixed=False)
    headline = followed()
    for parameter in student.image_tower.parameters():
        parameter.data.neg_()  # another student
    headline_after, kept = followed(), followed.embedded(9.0)
    assert len(embedded) == 3 and kept.images is embedded[2].images and kept.scale == 9.0
    assert torch.equal(kept.images, embedded_by(student, chosen, found, 1.0).images)
    # A reflected embedding keeps all similarities of images with each other, and turns those with captions round.
    assert (headline == headline_after) == (chosen is CLASSES)


@pytest.mark.parametrize("chosen", [CLASSES, PAIRS], ids=["labels", "captions"])
def test_embeddings_in_bfloat16_are_unit_vectors_in_float32_near_the_exact_ones(distilled, chosen):
    student = untrained(chosen, distilled[chosen.kind])
    exact, mixed = (accuracy.embedded_by(student, chosen, distilled[chosen.kind], 1.0, one) for one in (False, True))
    for name in ("images", "bank", "texts"):
        if (one := getattr(exact, name)) is not None:
            other = getattr(mixed, name)
            assert other.dtype == torch.float32 and not torch.equal(one, other)
            assert (other.norm(dim=1) - 1).abs().max() < 1e-6
            # bfloat16 rounds each number by at most one part in 256; over a vector these errors nearly cancel.
            assert (one * other).sum(dim=1).min() > 0.9999
