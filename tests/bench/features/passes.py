"""A pass of pocket clip over a few scenes, a teacher that differs in one point, and what students may read of it."""

import torch

from bench import data
from bench.features.columns import Rows
from bench.features.extract import Needs, Pass
from tests.bench.counting import silent

CPU = torch.device("cpu")
TRAIN, TEST = data.load("scenes", "train", 20), data.load("scenes", "test", 6)
ALL = 26  # images of both; each has five captions


class Changed:
    """A teacher with other attributes or methods."""

    def __init__(self, teacher, **changes):
        self.__dict__ |= {"teacher": teacher} | changes

    def __getattr__(self, name):
        return getattr(self.teacher, name)


def work(teacher, tokens=True, text_tokens=True, dtype="float16", log=None, name="scenes-clip"):
    say = (lambda text: None) if log is None else log.append
    return Pass(name, teacher, CPU, "fp32", Needs(tokens, text_tokens, dtype), say, silent)


def rows(*numbers):
    return Rows(torch.tensor(numbers), CPU)


def arrays_of(features):
    """All that students may read, by split and name."""
    return {
        f"{name} {array}": values.clone()
        for name, split in (("train", features.train), ("test", features.test))
        for array, values in split._sources.items()
    }


def assert_same(first, second):
    assert first.keys() == second.keys()
    for name in first:
        assert torch.equal(first[name], second[name]), name


def assert_close(stored, live):
    """Half precision keeps 11 bits."""
    torch.testing.assert_close(stored.float(), live, atol=2e-3, rtol=1e-3)
