"""A plan of three small arrays, a source that makes their rows, and what the arrays must hold."""

import time
from pathlib import Path

import numpy as np

from bench.kit.array_store import fill
from bench.kit.array_store.layout import Array, Plan

LENGTHS = [2, 0, 3, 1, 1, 4, 0, 0, 5, 2, 1, 3, 2, 2, 1, 6, 1]


def plan_of(folder, lengths=LENGTHS, shard=4, facts=None):
    bounds = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    arrays = (
        Array("half", "float16", (3,)), Array("number", "int32", ()), Array("ragged", "float32", (2,), bounds)
    )  # fmt: skip
    return Plan(Path(folder), facts or {"made": "by the test"}, arrays, len(lengths), shard)


def whole_of(plan):
    """What the arrays must hold."""
    generator = np.random.default_rng(0)
    shapes = {array.name: (array.span(0, plan.rows)[1], *array.shape) for array in plan.arrays}
    return {
        array.name: (generator.random(shapes[array.name]) * 1000).astype(array.dtype) for array in plan.arrays
    }  # fmt: skip


class Source:
    """Produces a plan's rows and remembers which shards it was asked for; fails at its ``failing``-th one."""

    def __init__(self, plan, failing=None, error=None, pause=0.0):
        self.plan, self.failing, self.error, self.pause = plan, failing, error, pause
        self.whole, self.made = whole_of(plan), []

    def __call__(self, shards):
        for shard in shards:
            if len(self.made) == self.failing:
                raise self.error
            time.sleep(self.pause)
            self.made.append(shard.start // self.plan.shard)
            yield {a.name: self.whole[a.name][slice(*a.span(shard.start, shard.stop))] for a in self.plan.arrays}


def assert_right(plan, arrays):
    for name, expected in whole_of(plan).items():
        assert arrays[name].dtype == expected.dtype and np.array_equal(arrays[name], expected), name


def refuse(shards):
    raise AssertionError(f"{shards} were asked for")


def stored(folder, **changes):
    plan = plan_of(folder, **changes)
    fill(plan, Source(plan))
    return plan


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.startswith("lock")}
