"""The shipped teachers are worth distilling, on held-out data drawn by seeds that no training used."""

import pytest
import torch

import teachers
from bench import data
from bench.measure.classification import knn
from bench.measure.retrieval import retrieval
from teachers import random_like, unit
from teachers.dino import Dino, build_pocket

pytestmark = pytest.mark.slow


def embedded(function, inputs):
    return torch.cat([function(inputs[start : start + 256]) for start in range(0, len(inputs), 256)])


def knn_top1(function, seed=0):
    bank, held_out = data.load("shapes", "train", 2048, seed), data.load("shapes", "test", 1000, seed)
    banked, queries = embedded(function, bank.pixels), embedded(function, held_out.pixels)
    return knn(banked, bank.labels, queries, held_out.labels).top1


def test_beit_knows_the_shapes():
    teacher = teachers.load("beit", "pocket")
    assert 70 <= knn_top1(lambda x: teacher.image(x).joint) < 98


def test_dino_knows_far_more_than_raw_pixels_and_than_itself_untrained():
    teacher, untrained = teachers.load("dino", "pocket"), Dino(random_like(build_pocket)).eval()
    trained = knn_top1(lambda x: teacher.image(x).joint)
    assert 65 <= trained < 98
    assert trained >= 20 + knn_top1(lambda x: untrained.image(x).joint)
    assert trained >= 20 + knn_top1(lambda x: unit(x.float().flatten(1) - 127.5))


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(("name", "least"), [("clip", 60), ("blip", 40)])
def test_clip_and_blip_find_the_scene_of_a_caption_and_back(name, least, seed):
    teacher, split = teachers.load(name, "pocket"), data.load("scenes", "test", 500, seed)
    images = embedded(lambda x: teacher.image(x).joint, split.pixels)
    texts = embedded(lambda x: teacher.text(x).joint, split.captions)
    scores = retrieval(images, texts, split.owner)
    assert least <= scores["image_to_text_r1"] < 98 and least <= scores["text_to_image_r1"] < 98
