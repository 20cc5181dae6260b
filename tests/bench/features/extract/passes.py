"""A pass of pocket clip over a few scenes, a teacher that says something else, and what students may read of it."""

import torch

from bench import data
from bench.features.extract import Needs, Pass
from tests.bench.counting import silent

CPU = torch.device("cpu")


class Changed:
    """A teacher of which something else is said, or which says something else."""

    def __init__(self, teacher, **changes):
        self.__dict__ |= {"teacher": teacher} | changes

    def __getattr__(self, name):
        return getattr(self.teacher, name)


def work(teacher, tokens=True, text_tokens=True, dtype="float16", told=None, name="scenes-clip"):
    say = (lambda text: None) if told is None else told.append
    return Pass(name, teacher, CPU, "fp32", Needs(tokens, text_tokens, dtype), say, silent)


TRAIN, TEST = data.load("scenes", "train", 20), data.load("scenes", "test", 6)
ALL = 26  # images of both; each has five captions


def arrays_of(distilled):
    """All that students may read, by split and name."""
    return {
        f"{name} {array}": values.clone()
        for name, features in (("train", distilled.train), ("test", distilled.test))
        for array, values in features._sources.items()
    }


def assert_same(first, second):
    assert first.keys() == second.keys()
    for name in first:
        assert torch.equal(first[name], second[name]), name
