"""Scores of real embeddings of drawn images: recomputed by hand, and at chance where labels or captions are exchanged."""

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier
from torch.nn.functional import normalize

import students
import teachers
from bench import data
from bench.data.split import Split
from bench.features.columns import Features
from bench.features.extract import Needs, Pass, extract
from bench.kit import paths
from bench.measure import accuracy, controls, model, pixels
from bench.plan import matrix
from students import Dims
from tests.bench.counting import silent

CPU = torch.device("cpu")
BASE = {case.id: case for case in matrix.cases(matrix.load(), "pocket")}
CLASSES, PAIRS = BASE["shapes-dino-projection-5ep"], BASE["scenes-clip-projection-5ep"]
TRAIN, TEST = 480, 240


@pytest.fixture(scope="module")
def extracted(tmp_path_factory):
    """Features of both kinds, by kind."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(paths.VARIABLE, str(tmp_path_factory.mktemp("data")))
        by_kind = {}
        for case in (CLASSES, PAIRS):
            teacher, needs = teachers.load(case.teacher, "pocket"), Needs(False, False)
            splits = data.load(case.dataset, "train", TRAIN), data.load(case.dataset, "test", TEST)
            by_kind[case.kind] = extract(Pass(case.dataset, teacher, CPU, "fp32", needs, print, silent), *splits)
        yield by_kind


def untrained(case, extracted):
    dims = Dims(extracted.train.width, case.embedding, case.bottleneck, case.trunk)
    return students.build(case.student, dims, case.kind, case.seed)


def scikit_learns(features, bank, queries):
    """Percent of ``queries`` whose label its k-NN finds in ``bank``."""
    oracle = KNeighborsClassifier(20, metric="cosine", weights=lambda distances: np.exp((1 - distances) / 0.07))
    oracle.fit(bank.numpy(), features.train.split.labels.numpy())
    return 100 * oracle.score(queries.numpy(), features.test.split.labels.numpy())


def binomial(chance, count):
    """Bounds in percent that a share of ``count`` draws leaves once in a thousand times."""
    spread = 3.29 * math.sqrt(chance * (100 - chance) / count)
    return max(0.0, chance - spread), chance + spread


def test_an_untrained_students_knn_is_that_of_its_matrix_by_hand(extracted):
    features = extracted["classification"]
    student = untrained(CLASSES, features)
    weight, bias = student.image_tower.weight, student.image_tower.bias
    banked, queries = (
        normalize(part._sources["pooled"].float() @ weight.T + bias, dim=1).detach()
        for part in (features.train, features.test)
    )
    expected = scikit_learns(features, banked, queries)
    measured = model.of_student(student, CLASSES, features, 1.0).metrics
    assert measured["knn_top1"] == pytest.approx(expected, abs=1e-4)
    assert measured["paper_accuracy"] == 100.0  # the artefact: nothing was learned
    assert 8 < expected < 100


def test_an_untrained_students_recall_is_that_of_its_matrices_by_hand(extracted):
    features = extracted["captions"]
    student = untrained(PAIRS, features)
    images = normalize(student.image_tower(features.test._sources["pooled"].float()), dim=1)
    texts = normalize(student.text_tower(features.test._sources["text_pooled"].float()), dim=1)
    best = (images @ texts.T).argmax(dim=1)
    expected = 100 * (features.test.split.owner[best] == torch.arange(TEST)).double().mean().item()
    measured = model.of_student(student, PAIRS, features, 1.0).metrics
    assert measured["image_to_text_r1"] == pytest.approx(expected)


@pytest.mark.parametrize("case", [CLASSES, PAIRS], ids=["labels", "captions"])
def test_exchanged_labels_and_captions_score_chance(extracted, case):
    """With a teacher that knows much; the same embeddings with the right ones score far above it."""
    features = extracted[case.kind]
    own = model.of_teacher(case, features)
    chance = accuracy.chance(features)
    shuffled = controls.shuffled(SimpleNamespace(student=own))
    assert set(shuffled) == set(chance)
    for name, value in shuffled.items():
        low, high = binomial(chance[name], TEST)
        assert low <= value <= high, name
        assert own.metrics[name] > 10 * high or own.metrics[name] > 60


def test_a_teacher_is_wholly_faithful_to_itself(extracted):
    for case in (CLASSES, PAIRS):
        features = extracted[case.kind]
        own = model.of_teacher(case, features)
        same = model.measured("fidelity", case.kind, own, own)
        assert same["neighbour_overlap_10"] == 100 and same["agreement_1"] == 100
        assert same["cka"] == pytest.approx(1) and same["similarity_kl"] == pytest.approx(0, abs=1e-9)


def test_zero_shot_reads_the_prompts_of_single_objects(extracted):
    features = extracted["captions"]
    concepts = features.test.split.concepts
    measured = model.of_teacher(PAIRS, features).metrics
    assert len(features.prompts.text_joint) == len(concepts.prompts)
    clear = concepts.labels >= 0
    means = torch.stack([
        normalize(features.prompts.text_joint[concepts.prompt_classes == one], dim=1).mean(dim=0)
        for one in range(len(concepts.names))
    ])  # fmt: skip
    guesses = (features.test.joint[clear] @ normalize(means, dim=1).T).argmax(dim=1)
    expected = 100 * (guesses == concepts.labels[clear]).double().mean().item()
    assert measured["zero_shot_top1"] == pytest.approx(expected) and expected > 20  # chance is 100 / 64


def test_pixels_are_scored_as_they_are(extracted):
    features = extracted["classification"]
    parts = (features.train, features.test)
    flat = [normalize(part.split.pixels.float().flatten(1) - 127.5, dim=1) for part in parts]
    subject = SimpleNamespace(case=CLASSES, features=features, teacher=None, once=lambda _, compute: compute())
    score = controls.raw_pixels(subject)["knn_top1"]
    assert score == pytest.approx(scikit_learns(features, *flat), abs=1e-4)


def test_large_pictures_are_scored_as_their_small_means(extracted):
    small = extracted["classification"]

    def enlarged(part):
        pixels = part.split.pixels.repeat_interleave(4, dim=2).repeat_interleave(4, dim=3)
        return SimpleNamespace(split=replace(part.split, pixels=pixels, identity="enlarged"), device=part.device)

    large = SimpleNamespace(train=enlarged(small.train), test=enlarged(small.test))
    assert large.test.split.side > pixels.SIDE
    scores = [
        controls.raw_pixels(
            SimpleNamespace(case=CLASSES, features=features, teacher=None, once=lambda _, compute: compute())
        )
        for features in (small, large)
    ]
    # Of 128 pixels a side only means of 2 x 2 are seen, which all are copies of one of the original's.
    assert scores[0] == pytest.approx(scores[1], abs=1e-4)


def test_another_batch_changes_the_papers_accuracy_alone_and_scores_nothing_anew(extracted, monkeypatch):
    features = extracted["captions"]
    own = model.of_teacher(PAIRS, features)
    before = own.metrics
    monkeypatch.setattr(model, "retrieval", None)
    after = own.at_batch(2).metrics
    assert after.pop("paper_accuracy") > before.pop("paper_accuracy") and after == before


def test_what_a_case_works_out_of_its_teacher_the_next_one_has(extracted, monkeypatch):
    shared = model.of_teacher(CLASSES, extracted["classification"])
    first = shared.at_batch(CLASSES.batch_size).metrics
    monkeypatch.setattr(model, "linear_probe", None)
    assert shared.at_batch(CLASSES.batch_size).metrics == first


def test_a_cpu_embeds_fewer_images_of_many_tokens_at_once(monkeypatch):
    """Each embedding is what all images at once give it, in their order."""
    sizes, tokens = [], torch.randn(20, 17, 32, generator=torch.Generator().manual_seed(0))
    features = Features(Split(torch.empty(20, 3, 1, 1, dtype=torch.uint8)), {"tokens": tokens}, 1.0, CPU)
    student = students.build("attention", Dims(32, 16), "images").eval()
    whole = student.image(tokens)[0]
    monkeypatch.setattr("bench.features.device.CACHED", 8 * 17**2)
    student.image_tower.register_forward_pre_hook(lambda _, given: sizes.append(len(given[0])))
    embeddings = model.embed(student, BASE["shapes-dino-attention-5ep"], features)
    assert sizes == [8, 8, 4]
    torch.testing.assert_close(embeddings, whole)


@pytest.mark.parametrize("chosen", [CLASSES, PAIRS], ids=["labels", "captions"])
def test_embeddings_in_bfloat16_are_unit_vectors_in_float32_near_the_exact_ones(extracted, chosen):
    student = untrained(chosen, extracted[chosen.kind])
    exact, mixed = (model.of_student(student, chosen, extracted[chosen.kind], 1.0, one) for one in (False, True))
    for name in ("images", "bank", "texts"):
        if (one := getattr(exact, name)) is not None:
            other = getattr(mixed, name)
            assert other.dtype == torch.float32 and not torch.equal(one, other)
            assert (other.norm(dim=1) - 1).abs().max() < 1e-6
            # bfloat16 rounds each number by at most one part in 256; over a vector these errors nearly cancel.
            assert (one * other).sum(dim=1).min() > 0.9999
