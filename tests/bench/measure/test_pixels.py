"""Pixels as embeddings: their products, and that a data set's are scored once."""

import pytest
import torch
from torch.nn.functional import normalize

from bench.data.split import Split
from bench.kit import paths
from bench.measure.classification import knn
from bench.measure.controls import kept
from bench.measure.pixels import Pixels, _exact_products
from tests.bench.measure.drawn import integers, seeded

CPU = torch.device("cpu")


def pictures(count, side=8, seed=0):
    """Of several brightnesses and contrasts, among them uniform black, white and grey."""
    spread = torch.linspace(1, 127, count)[:, None, None, None]
    middle = torch.linspace(0, 255, count)[:, None, None, None]
    noise = torch.randn(count, 3, side, side, generator=seeded(seed))
    pixels = (middle + spread * noise).clamp(0, 255).byte()
    pixels[0], pixels[1], pixels[2], pixels[3] = 0, 255, 127, 128
    return pixels


def flat(pixels):
    return normalize(pixels.flatten(1).double() - 127.5, dim=1)


@pytest.mark.parametrize("capability", ["AVX2", "AVX512"])  # by floating-point numbers and by integers
def test_products_are_cosines_of_the_pixels_within_their_error(monkeypatch, capability):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    gallery, queries, out = pictures(60), pictures(40, seed=1), torch.empty(3, 50)
    rows, one = torch.tensor([0, 5, 39]), Pixels(gallery, CPU)
    one.products(Pixels(queries, CPU), rows)(slice(10, 60), out)
    torch.testing.assert_close(out.double(), flat(queries)[rows] @ flat(gallery)[10:].T, rtol=0, atol=one.error)


@pytest.mark.parametrize("capability", ["AVX2", "AVX512"])
def test_products_of_the_largest_numbers_are_exact(monkeypatch, capability):
    """Beyond 2^24 float32 leaves integers out."""
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    numbers = torch.tensor([[-128] * 5000, [127] * 5000, [-128, 127] * 2500], dtype=torch.int8)
    products = _exact_products(numbers, numbers.flip(0))
    assert products.dtype == torch.int32
    assert torch.equal(products.long(), numbers.long() @ numbers.long().flip(0).T)


def test_neighbours_are_those_of_the_same_embeddings_in_memory():
    """4,000 pictures are searched in float32 first; they stand there twice, so that there are ties."""
    bank, labels = pictures(2_000).repeat(2, 1, 1, 1), integers(5, 4_000, 2)
    queries, truth = pictures(100, seed=1), integers(5, 100, 3)
    expected = knn(flat(bank).float(), labels, flat(queries).float(), truth)
    result = knn(Pixels(bank, CPU), labels, Pixels(queries, CPU), truth)
    assert result.predictions.tolist() == expected.predictions.tolist()
    assert (result.top1, result.top5) == (expected.top1, expected.top5)


def test_scores_are_kept_for_the_same_pictures_labels_and_teacher(monkeypatch, tmp_path):
    monkeypatch.setenv(paths.VARIABLE, str(tmp_path))
    one, computed = Split(pictures(5), labels=torch.arange(5)), []

    def ask(split, teacher=""):
        return kept("raw-pixels-shapes", (split, one), teacher, lambda: computed.append(split) or {"knn_top1": 12.5})

    assert ask(one) == ask(one) == {"knn_top1": 12.5} and len(computed) == 1
    ask(Split(pictures(5, seed=1), labels=torch.arange(5)))
    ask(Split(pictures(5), labels=torch.arange(5) // 2))
    ask(one, "another teacher")
    assert len(computed) == 4
    for file in tmp_path.rglob("*.json"):
        file.write_text(file.read_text().replace("12.5", "99.5"))
    assert ask(one) == {"knn_top1": 12.5} and len(computed) == 5  # a digit that flipped is noticed
