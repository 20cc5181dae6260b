"""The picture that explains a case: its maps and its neighbours against plain re-computation, and a PNG that is sane."""

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
from bench.features.extract import Needs, Pass, extract
from bench.measure import embed
from bench.plan import matrix
from students import Dims, FromPixels, Student, build
from tests.bench.counting import silent

CPU = torch.device("cpu")
CASES = {case.id: case for case in matrix.cases(matrix.load(), "pocket")}
NAMES = ["shapes-dino-attention-5ep", "shapes-dino-projection-5ep", "scenes-clip-resnet-5ep"]


@pytest.fixture(scope="module")
def explained():
    """``explained(name)``: a case, its untrained student and its teacher's features of 64 images."""
    kept = {}

    def make(name):
        case = CASES[name]
        if case.teacher not in kept:
            work = Pass("test", teachers.load(case.teacher, "pocket"), CPU, "fp32", Needs(True, True), print, silent)
            splits = [data.load(case.dataset, split, 64) for split in ("train", "test")]
            kept[case.teacher] = extract(work, *splits)
        distilled = kept[case.teacher]
        dims = Dims(distilled.width, case.embedding, case.bottleneck, case.trunk)
        return case, build(case.student, dims, case.kind), distilled

    return make


@pytest.fixture
def shown(monkeypatch):
    """What is handed to the drawing."""
    seen = []
    monkeypatch.setattr(picture, "draw", lambda facts, side, colours: seen.append(facts) or b"")
    return seen


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
    equal = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    assert picture.nearest(equal, [0, 3], 3).tolist() == [
        [2, 1, 3],
        [1, 4, 0],
    ]  # a copy first, equal ones in their order


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
    conv = student.image_tower.trunk.conv
    weight, bias = conv.weight.detach().double().numpy()[:, :, 0, 0], conv.bias.detach().double().numpy()
    mean, std = np.array([123.675, 116.28, 103.53]), np.array([58.395, 57.12, 57.375])
    inputs = (pixels[[5, 2]].double().permute(0, 2, 3, 1).numpy() - mean) / std
    expected = (np.maximum(inputs @ weight.T + bias, 0) ** 2).sum(axis=-1)
    assert maps.values.numpy() == pytest.approx(expected, rel=1e-5, abs=1e-6)
    assert torch.equal(maps.pixels, pixels[[5, 2]])


def features_of(pixels, split=None):
    split = split or Split(pixels, labels=torch.arange(len(pixels)) % 3, classes=("cat", "dog", "a $ sign"))
    arrays = {"pooled": unit(len(pixels), 8), "joint": unit(len(pixels), 5), "attention": torch.rand(len(pixels), 16)}
    return Features(split, arrays, 14.0, CPU)


@pytest.mark.parametrize("name", ["shapes-dino-resnet-5ep", "shapes-dino-densenet-5ep"])
def test_the_trunks_of_timm_give_their_last_feature_map(explained, name):
    case, student, distilled = explained(name)
    pixels = distilled.test.split.pixels[:3]
    maps = picture.student_maps(student, case, distilled.test, [0, 1, 2], pixels)
    tower = student.image_tower
    with torch.no_grad():
        last = tower.trunk.forward_features((pixels.float() - tower.mean) / tower.std)
    assert torch.allclose(maps.values, (last**2).sum(dim=1), rtol=1e-4)
    assert len(tower.trunk.global_pool._forward_pre_hooks) == 0


def test_a_student_with_attention_shows_it_and_one_without_says_so(explained):
    case, student, distilled = explained("shapes-dino-attention-5ep")
    rows, view = [3, 1], distilled.test.split.pixels[[3, 1]]
    maps = picture.student_maps(student, case, distilled.test, rows, view)
    with torch.no_grad():
        _, attention = student.image(distilled.test.column("tokens").all()[rows])
    assert torch.equal(maps.values.flatten(1), attention) and maps.values.shape[1] == maps.values.shape[2]
    case, student, distilled = explained("shapes-dino-projection-5ep")
    maps = picture.student_maps(student, case, distilled.test, rows, view)
    assert maps.values is None and maps.meaning == "reads the pooled\nfeature: no map"


@pytest.mark.parametrize("name", NAMES)
def test_teacher_and_student_are_asked_for_the_same_images(explained, shown, tmp_path, name):
    case, student, distilled = explained(name)
    picture.picture(tmp_path / "picture.png", case, student, distilled, SimpleNamespace(crop=False))
    [facts] = shown
    test = distilled.test
    theirs, ours = test.joint, embed.embed(student, case, test)
    assert facts.neighbours[0].images.tolist() == brute_force(theirs, facts.queries, 5)
    assert facts.neighbours[1].images.tolist() == brute_force(ours, facts.queries, 5)
    attention = test.column("attention").all()[facts.looked_at]
    assert torch.equal(facts.maps[0].values.flatten(1), attention)
    if case.kind == "classification":
        assert facts.neighbours[0].captions is None and facts.neighbours[1].captions is None
        return
    for neighbours, images, texts in [
        (facts.neighbours[0], theirs, test.text_joint),
        (facts.neighbours[1], ours, embed.embed_captions(student, case, test)),
    ]:
        best = [max(range(len(texts)), key=lambda row: float(texts[row] @ images[query])) for query in facts.queries]
        assert neighbours.captions.tolist() == best


def drawn(path, case, student, features, crop=False):
    """Only what is read: the evaluation split's features, and whether the teacher cuts the middle out."""
    picture.picture(path, case, student, SimpleNamespace(test=features), SimpleNamespace(crop=crop))


@pytest.mark.parametrize("crop", [True, False])
def test_a_map_lies_over_what_its_model_saw(shown, tmp_path, crop):
    """A teacher that squashes a wide picture sees its edges; a student that reads the stored pixels does not."""
    wide = torch.randint(0, 256, (7, 8, 16, 3), dtype=torch.uint8)
    files = tuple(tmp_path / f"{row}.png" for row in range(7))
    for file, pixels in zip(files, wide, strict=True):
        Image.fromarray(pixels.numpy()).save(file)
    middle = wide[:, :, 4:12].permute(0, 3, 1, 2)
    split = Split(middle, labels=torch.zeros(7, dtype=torch.int64), classes=("cat",), files=files)
    student = Student(FromPixels(Trunk(), Dims(8, 4, 4)), None)
    drawn(tmp_path / "a.png", CASES["shapes-dino-resnet-5ep"], student, features_of(middle, split), crop)
    [facts] = shown
    images = [Image.open(files[row]).resize((8, 8), Image.Resampling.BICUBIC) for row in facts.looked_at]
    squashed = torch.from_numpy(np.stack([np.asarray(image) for image in images])).permute(0, 3, 1, 2)
    assert torch.equal(facts.maps[0].pixels, middle[facts.looked_at] if crop else squashed)
    assert torch.equal(facts.maps[1].pixels, middle[facts.looked_at])


@pytest.mark.parametrize("name", NAMES)
def test_the_picture_is_a_png_of_moderate_size_and_always_the_same(explained, tmp_path, name):
    case, student, features = explained(name)
    for file in ("first.png", "second.png"):
        drawn(tmp_path / file, case, student, features.test)
    first = (tmp_path / "first.png").read_bytes()
    assert first == (tmp_path / "second.png").read_bytes() and 20_000 < len(first) <= 400_000
    with Image.open(tmp_path / "first.png") as image:
        assert image.format == "PNG" and 800 <= image.width <= 1000 and image.height < 2000
    assert {path.name for path in tmp_path.iterdir()} == {"first.png", "second.png"}


def test_pictures_full_of_detail_are_shrunk_until_the_file_is_small(tmp_path):
    features = features_of(torch.randint(0, 256, (64, 3, 160, 160), dtype=torch.uint8))
    student = build("projection", Dims(8, 4, 4), "classification")
    drawn(tmp_path / "a.png", CASES["shapes-dino-projection-5ep"], student, features)
    assert (tmp_path / "a.png").stat().st_size <= 400_000
