"""The picture that explains a case: its maps and its neighbours against plain re-computation, and a PNG that is sane."""

from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import teachers
from bench import data
from bench.data.split import Split
from bench.explain import picture
from bench.features.columns import Features
from bench.features.extract import Needs, Pass, TeacherFeatures, extract
from bench.measure import model
from bench.plan import matrix
from bench.run.case import untrained
from students import Dims, FromPixels, Student, build
from tests.bench.counting import silent
from tests.breadth import some

CPU = torch.device("cpu")
CASES = {case.id: case for case in matrix.cases(matrix.load(), "pocket")}
NAMES = ["shapes-dino-attention-5ep", "shapes-dino-projection-5ep", "scenes-clip-resnet-5ep"]


def seeing(size, short_side=None):
    """All that a picture reads of a teacher."""
    return SimpleNamespace(transform=teachers.transform_of(size, [0.5] * 3, [0.5] * 3, short_side=short_side))


SQUASHING = seeing(32)


@cache
def features_by(teacher, dataset):
    """A teacher's features of 64 images."""
    work = Pass("test", teachers.load(teacher, "pocket"), CPU, "fp32", Needs(True, True), print, silent)
    return extract(work, *(data.load(dataset, split, 64) for split in ("train", "test")))


def explained(name):
    """A case, its untrained student and its teacher's features."""
    case = CASES[name]
    features = features_by(case.teacher, case.dataset)
    return case, untrained(case, features), features


@pytest.fixture
def drawings(monkeypatch):
    """What is handed to the drawing."""
    contents = []
    monkeypatch.setattr(picture, "draw", lambda each, side, colours: contents.append(each) or b"")
    return contents


def brute_force(embeddings, queries, count):
    """Each query's neighbours: sorted by cosine, then by row."""
    rows = [row.tolist() for row in embeddings.double()]
    cosine = [[sum(a * b for a, b in zip(rows[query], other, strict=True)) for other in rows] for query in queries]
    return [
        sorted((other for other in range(len(rows)) if other != query), key=lambda other: -values[other])[:count]
        for query, values in zip(queries, cosine, strict=True)
    ]


def unit(*shape):
    return nn.functional.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(3)), dim=-1)


@pytest.mark.parametrize("count", [1, 5, 40])
def test_neighbours_are_those_of_brute_force_and_never_the_query(count):
    embeddings, queries = unit(30, 7), [4, 0, 29]
    assert picture.nearest(embeddings, queries, count).tolist() == brute_force(embeddings, queries, count)


def test_a_copy_of_the_query_is_nearest_and_equal_ones_keep_their_order():
    embeddings = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    assert picture.nearest(embeddings, [0, 3], 3).tolist() == [[2, 1, 3], [1, 4, 0]]
    assert picture.nearest(-torch.ones(1, 1).expand(4, 1), [3], 3).tolist() == [[0, 1, 2]]


def test_the_same_images_are_shown_at_each_call_and_no_query_is_looked_at_too():
    looked_at, queries = picture.drawn(64)
    assert (looked_at, queries) == picture.drawn(64)
    assert len({*looked_at, *queries}) == 7 and all(0 <= row < 64 for row in looked_at + queries)
    few = picture.drawn(7)
    assert sorted(few[0] + few[1]) == list(range(7))
    with pytest.raises(ValueError, match="at least 7 held-out images"):
        picture.drawn(6)


class Trunk(nn.Module):
    """One 1 x 1 convolution, a ReLU and a pooling."""

    num_features = 2

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 1)
        self.global_pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())

    def forward(self, images):
        return self.global_pool(self.conv(images).relu())


def test_the_map_of_a_convolutional_student_is_the_sum_of_its_squared_activations():
    torch.manual_seed(0)
    student = Student(FromPixels(Trunk(), Dims(8, 4, 4)), None)
    pixels = torch.randint(0, 256, (9, 3, 4, 4), dtype=torch.uint8)
    maps = picture.student_maps(student, CASES["shapes-dino-resnet-5ep"], features_of(pixels), [5, 2], pixels[:2])
    weight = student.image_tower.trunk.conv.weight.detach().double().numpy()[:, :, 0, 0]
    bias = student.image_tower.trunk.conv.bias.detach().double().numpy()
    mean, std = np.array([123.675, 116.28, 103.53]), np.array([58.395, 57.12, 57.375])
    for image, values in zip(pixels[[5, 2]].double().numpy(), maps.values.numpy(), strict=True):
        inputs = (image.reshape(3, 16) - mean[:, None]) / std[:, None]
        active = np.maximum(weight @ inputs + bias[:, None], 0)
        np.testing.assert_allclose(values.reshape(16), active[0] ** 2 + active[1] ** 2, rtol=1e-5, atol=1e-6)
    assert torch.equal(maps.pixels, pixels[[5, 2]])


def features_of(pixels, split=None):
    split = split or Split(pixels, labels=torch.arange(len(pixels)) % 3, classes=("cat", "dog", "a $ sign"))
    arrays = {"pooled": unit(len(pixels), 8), "joint": unit(len(pixels), 5), "attention": torch.rand(len(pixels), 16)}
    return Features(split, arrays, 14.0, CPU)


def both_splits(features):
    """The same features for training and evaluation, with nothing else around them."""
    names = "prompts", "image_pca", "text_pca", "seconds", "machine", "key", "weights_digest", "ask", "views"
    return TeacherFeatures(train=features, test=features, **dict.fromkeys(names))


@pytest.mark.parametrize("name", ["shapes-dino-resnet-5ep", "shapes-dino-densenet-5ep"])
def test_the_trunks_of_timm_give_their_last_feature_map(name):
    case, student, features = explained(name)
    pixels = features.test.split.pixels[:3]
    maps = picture.student_maps(student, case, features.test, [0, 1, 2], pixels)
    tower = student.image_tower
    with torch.no_grad():
        last = tower.trunk.forward_features((pixels.float() - tower.mean) / tower.std)
    assert torch.allclose(maps.values, (last**2).sum(dim=1), rtol=1e-4)
    assert len(tower.trunk.global_pool._forward_pre_hooks) == 0


def test_a_student_with_attention_shows_it_and_one_without_says_so():
    case, student, features = explained("shapes-dino-attention-5ep")
    rows, view = [3, 1], features.test.split.pixels[[3, 1]]
    maps = picture.student_maps(student, case, features.test, rows, view)
    with torch.no_grad():
        _, attention = student.image(features.test._sources["tokens"].float()[rows])
    assert torch.equal(maps.values.flatten(1), attention) and maps.values.shape[1] == maps.values.shape[2]
    case, student, features = explained("shapes-dino-projection-5ep")
    maps = picture.student_maps(student, case, features.test, rows, view)
    assert maps.values is None and maps.meaning == "reads the pooled\nfeature: no map"


@pytest.mark.parametrize("name", NAMES)
def test_teacher_and_student_are_asked_for_the_same_images(drawings, tmp_path, name):
    case, student, features = explained(name)
    picture.picture(tmp_path / "picture.png", case, student, features, SQUASHING)
    [contents] = drawings
    test, queries = features.test, contents.queries
    assert torch.equal(contents.maps[0].values.flatten(1), test._sources["attention"].float()[contents.looked_at])
    images = test.joint, model.embed(student, case, test)
    for neighbours, each in zip(contents.neighbours, images, strict=True):
        assert neighbours.images.tolist() == brute_force(each, queries, 5)
    if case.kind == "classification":
        assert [each.captions for each in contents.neighbours] == [None, None]
        return
    texts = test.text_joint, model.embed(student, case, test, captions=True)
    for neighbours, image, text in zip(contents.neighbours, images, texts, strict=True):
        best = [max(range(len(text)), key=lambda row: float(text[row] @ image[query])) for query in queries]
        assert neighbours.captions.tolist() == best


def test_a_map_lies_over_what_its_model_saw(drawings, tmp_path):
    """A teacher that squashes a wide picture sees its edges; a student that reads the stored pixels does not."""
    wide = torch.randint(0, 256, (7, 8, 16, 3), dtype=torch.uint8)
    files = tuple(tmp_path / f"{row}.png" for row in range(7))
    for file, pixels in zip(files, wide, strict=True):
        Image.fromarray(pixels.numpy()).save(file)
    middle = wide[:, :, 4:12].permute(0, 3, 1, 2)
    split = Split(middle, labels=torch.zeros(7, dtype=torch.int64), classes=("cat",), files=files)
    features, student = features_of(middle, split), Student(FromPixels(Trunk(), Dims(8, 4, 4)), None)
    distilled = both_splits(features)
    for crop in (True, False):
        case = CASES["shapes-dino-resnet-5ep"]
        picture.picture(tmp_path / "a.png", case, student, distilled, seeing(8, 8 if crop else None))
        contents = drawings.pop()
        images = [Image.open(files[row]).resize((8, 8), Image.Resampling.BICUBIC) for row in contents.looked_at]
        squashed = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)
        assert torch.equal(contents.maps[0].pixels, middle[contents.looked_at] if crop else squashed)
        assert torch.equal(contents.maps[1].pixels, middle[contents.looked_at])


def test_a_map_lies_over_the_middle_that_its_teacher_cut_out(drawings, tmp_path):
    """Also out of stored pixels, which a teacher cuts for itself."""
    split = Split(
        torch.randint(0, 256, (7, 3, 8, 8), dtype=torch.uint8),
        labels=torch.zeros(7, dtype=torch.int64),
        classes=("cat",),
    )
    features, student = features_of(split.pixels, split), Student(FromPixels(Trunk(), Dims(8, 4, 4)), None)
    picture.picture(tmp_path / "a.png", CASES["shapes-dino-resnet-5ep"], student, both_splits(features), seeing(4, 8))
    contents = drawings.pop()
    assert torch.equal(contents.maps[0].pixels, split.pixels[contents.looked_at][:, :, 2:6, 2:6])


@pytest.mark.parametrize("name", some(NAMES, NAMES[2:]))
def test_the_picture_is_a_png_of_moderate_size_and_always_the_same(tmp_path, name):
    paths = tmp_path / "first.png", tmp_path / "second.png"
    for path in paths:
        picture.picture(path, *explained(name), SQUASHING)
    first, second = (path.read_bytes() for path in paths)
    assert first == second and 20_000 < len(first) <= 400_000
    with Image.open(paths[0]) as image:
        assert image.format == "PNG" and 800 <= image.width <= 1000 and image.height < 2000


def test_pictures_full_of_detail_are_shrunk_until_the_file_is_small(tmp_path):
    features = features_of(torch.randint(0, 256, (64, 3, 160, 160), dtype=torch.uint8))
    case = CASES["shapes-dino-projection-5ep"]
    student = build("projection", Dims(8, 4, 4), "classification")
    picture.picture(tmp_path / "a.png", case, student, both_splits(features), SQUASHING)
    assert (tmp_path / "a.png").stat().st_size <= 400_000
