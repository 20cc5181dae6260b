"""Tiles of similarities: that nothing larger is ever made, and how ranks among classes treat ties and NaN."""

from dataclasses import is_dataclass

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from bench.measure import tiles
from bench.measure.classification import knn, zero_shot
from bench.measure.fidelity import linear_cka, neighbour_overlap, similarity_kl
from bench.measure.retrieval import match_ranks, nearest, retrieval
from tests.bench.measure.drawn import unit


class Largest(TorchDispatchMode):
    """Records the number of elements of the largest tensor that any operation returns."""

    elements = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, tuple | list) else (out,):
            if isinstance(tensor, torch.Tensor):
                self.elements = max(self.elements, tensor.numel())
        return out


def owner(few, many):
    return torch.arange(len(many)) * len(few) // len(many)


MEASURES = {
    "knn": lambda few, many: knn(many, owner(few, many) % 2, few, torch.arange(len(few)) % 2),
    "match_ranks": lambda few, many: match_ranks(few, many, torch.arange(len(few)), owner(few, many)),
    "retrieval": lambda few, many: retrieval(few, many, owner(few, many)),
    "nearest": nearest,
    "zero_shot": lambda few, many: zero_shot(few, torch.arange(len(few)) % 10, many, owner(few, many) % 1000),
    "neighbour_overlap": lambda few, many: neighbour_overlap(few, few.roll(1, 0), 5),
    "neighbour_overlap, teacher's ties": lambda few, many: neighbour_overlap(few, few[: len(few) // 5].repeat(5, 1), 3),
    "knn, ties of all classes": lambda few, many: knn(
        few[:1].repeat(90, 1), owner(few[:3], range(90)), few, owner(few, few) % 3
    ),
    "linear_cka": lambda few, many: linear_cka(many, many.roll(1, 0)),
    "similarity_kl": lambda few, many: similarity_kl(few, few.roll(1, 0), 10, 20),
    "similarity_kl of texts": lambda few, many: similarity_kl(few, few.roll(1, 0), 10, 20, many, many.roll(1, 0)),
}


@pytest.mark.parametrize("name", MEASURES)
def test_memory_is_bounded_by_one_tile(monkeypatch, name):
    """600 x 8,000 scores, in tiles of 32 x 1,024: nothing larger than a tile or than the embeddings appears."""
    monkeypatch.setattr(tiles, "QUERIES", 32)
    monkeypatch.setattr(tiles, "GALLERY", 1_024)
    few, many = unit(600, 4), unit(8_000, 4, seed=1)
    with Largest() as largest:
        MEASURES[name](few, many)
    assert 0 < largest.elements <= max(32 * 1_024, many.numel())


@pytest.mark.parametrize("size", [(7, 13), (1, 1), (32, 3)])
@pytest.mark.parametrize("name", MEASURES)
def test_results_do_not_depend_on_tiles(monkeypatch, name, size):
    """In the gallery everything stands three times, far apart, so that ties are common."""
    few, many = unit(20, 8), unit(15, 8, seed=1).repeat(3, 1)
    whole = numbers(MEASURES[name](few, many))
    monkeypatch.setattr(tiles, "QUERIES", size[0])
    monkeypatch.setattr(tiles, "GALLERY", size[1])
    assert numbers(MEASURES[name](few, many)) == pytest.approx(whole, rel=1e-9)


def numbers(result):
    """All numbers in a result, one after the other."""
    if isinstance(result, dict):
        return [number for value in result.values() for number in numbers(value)]
    return numbers(vars(result)) if is_dataclass(result) else torch.as_tensor(result).flatten().tolist()


def test_class_ranks_by_hand():
    scores = torch.tensor([[0.1, 0.5, 0.3], [0.5, 0.5, 0.1], [0.2, float("nan"), 0.1], [0.3, 0.2, 0.1]])
    ranks, best = tiles.class_ranks(scores, torch.tensor([2, 2, 0, -1]))
    assert ranks.tolist() == [2, 3, 4, 4]
    assert best[0] == 1 and best[1] in (0, 1) and best[2:].tolist() == [-1, 0]


def test_a_handicapped_tie_is_lost_and_a_clear_win_is_not():
    scores = torch.tensor([[0.5, 0.5], [0.5, 0.49]], dtype=torch.float64)
    truth = torch.tensor([0, 0])
    ranks, best = tiles.class_ranks(tiles.handicap_truth(scores, truth), truth)
    assert (ranks.tolist(), best.tolist()) == ([2, 1], [1, 0])


def test_columns_of_labels_that_are_not_consecutive():
    classes = torch.tensor([2, 5, 9])
    assert tiles.columns_of(torch.tensor([5, 0, 9, 11, 2, -1]), classes).tolist() == [1, -1, 2, -1, 0, -1]


def test_a_rank_beyond_the_last_entry_is_never_within():
    assert tiles.percent_within(torch.tensor([1, 2, 3, 4]), 10, entries=3) == 75
    assert tiles.percent_within(torch.tensor([1, 2, 3, 4]), 1, entries=3) == 25
