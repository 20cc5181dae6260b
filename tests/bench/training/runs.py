"""Training runs small enough for tests: forty images with made-up features."""

import dataclasses

import torch

import students
from bench.data.split import Split
from bench.features.columns import Features
from bench.measure.class_logits import ClassLogits
from bench.plan import matrix
from bench.training.run import Run
from students import Dims

IMAGES, WIDTH = 40, 12
SMALL = {"batch_size": 16, "epochs": 4, "warmup_steps": 3, "embedding": 10, "bottleneck": 6}
BASE = {case.id: case for case in matrix.cases(matrix.load(), "pocket")}


def features(captions=True):
    generator = torch.Generator().manual_seed(0)

    def unit(*shape):
        return torch.nn.functional.normalize(torch.randn(*shape, generator=generator), dim=-1)

    owner = torch.arange(IMAGES).repeat_interleave(3)
    pixels = torch.randint(0, 256, (IMAGES, 3, 32, 32), generator=generator, dtype=torch.uint8)
    split = Split(pixels, owner=owner)
    if not captions:
        split = Split(pixels, classes=("one", "two", "three", "four"), labels=torch.arange(IMAGES) % 4)
    tokens, lengths = unit(IMAGES, 17, WIDTH), torch.randint(1, 8, (120,), generator=generator)
    arrays = {"tokens": tokens, "pooled": tokens[:, 0], "joint": unit(IMAGES, 9),
              "attention": torch.rand(IMAGES, 16, generator=generator)}  # fmt: skip
    if captions:
        arrays |= {"text_pooled": unit(120, WIDTH), "text_tokens": unit(int(lengths.sum()), WIDTH),
                   "text_joint": unit(120, 9), "text_lengths": lengths}  # fmt: skip
    return Features(split, arrays, 14.0, torch.device("cpu"))


def case(name="scenes-clip-attention-5ep", **changes):
    return dataclasses.replace(BASE[name], **(SMALL | changes))


def run(folder, chosen=None, keep=(), data=None, mixed=False, width=WIDTH):
    chosen = chosen or case()
    data = data or features(chosen.kind == "captions")
    dims = Dims(width, chosen.embedding, chosen.bottleneck, "pocket")
    logits = class_logits(data) if "logits" in chosen.targets else None
    return Run(chosen, students.build(chosen.student, dims, chosen.kind), data, folder, set(keep), mixed, logits)


def class_logits(data):
    """Those of a teacher that knows the labels: scaled cosines to the mean embedding of each class."""
    weight = torch.stack(
        [data.joint[: len(data)][data.split.labels == label].mean(dim=0) for label in data.split.labels.unique()]
    )
    return ClassLogits("made up", 20 * weight, torch.zeros(len(weight)))


def step(training):
    """An epoch, kept without an evaluation."""
    if training.epoch():
        training.save({})


def finish(training):
    while not training.finished:
        step(training)
    return {name: value.clone() for name, value in training.student.state_dict().items()}


def finish_all(training):
    """Weights of the student and of what its loss has trained with it."""
    weights = finish(training)
    return weights | {f"criterion.{name}": value.clone() for name, value in training.criterion.state_dict().items()}


def same(first, second):
    return all(torch.equal(first[name], second[name]) for name in first)


NAMES = ["scenes-clip-attention-5ep", "scenes-clip-cbam-5ep", "scenes-blip-resnet-5ep", "shapes-dino-projection-5ep"]
