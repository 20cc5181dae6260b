#!/usr/bin/env bash
# brevitas==0.13.4 (torch 2.15.0)
# Guess: Equalization of weights moves scales of channels from a layer to the next one and changes no output. preprocess_for_quantize, the
#   first step of post-training quantization in the examples, leaves alone what it cannot equalize.
# Behaviour: Each call of a layer is taken for a layer of its own. Where one is called twice, as a head that is shared by two levels or a
#   block that is applied again, each pair with a neighbour scales the same weights, and the other call's neighbour gets no share of it.
#   A map that is multiplied by itself gets the scale once, the layer behind it needs its square. An index that reorders channels is walked
#   through as if it kept them. No warning; the docstrings do not mention it, and no issue on it was found.
# Seen (random weights, channels of different sizes; relative error of the outputs before anything is quantized, in float32):
#   a head shared by two levels:                  0.25
#   a convolution applied twice:                  0.25
#   a map times itself:                           0.51
#   channels in another order:                    0.33
#   a head for each level:                        0.00
#   a shortcut:                                   0.00
#   a shared head, without equalization:          0.00
# Why it matters: The error is there before the first bit is dropped, so quantization is blamed, and fine-tuning with the teacher
#   begins with another student. Compare the outputs before and after, or give each call a copy of the layer.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv venv -q venv
uv pip install -q --python venv/bin/python torch==2.15.0 numpy==2.4.6 brevitas==0.13.4 "setuptools<81"
export OMP_NUM_THREADS=1
venv/bin/python -W ignore - 2>log <<'PYTHON'
import copy

import torch
from brevitas.graph.quantize import preprocess_for_quantize
from torch import nn


class Student(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.down, self.shared = nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(8, 8, 3, 2, 1), nn.Conv2d(8, 8, 3, 1, 1)
        self.first, self.second = nn.Conv2d(8, 16, 1), nn.Conv2d(8, 16, 1)
        self.act = nn.ReLU()


class Levels(Student):
    def forward(self, images):
        level1 = self.act(self.stem(images))
        level2 = self.act(self.down(level1))
        return torch.cat([self.head(self.first, level1), self.head(self.second, level2)], dim=1)

    def head(self, last, level):
        return last(self.act(self.shared(level))).mean((2, 3))


class Copies(Levels):
    def __init__(self):
        super().__init__()
        self.again = nn.Conv2d(8, 8, 3, 1, 1)

    def head(self, last, level):
        return last(self.act((self.shared if last is self.first else self.again)(level))).mean((2, 3))


class Again(Student):
    def forward(self, images):
        images = self.act(self.shared(self.act(self.stem(images))))
        return self.first(self.act(self.shared(images)))


class Square(Student):
    def forward(self, images):
        images = self.stem(images)
        return self.first(images * images)


class Reordered(Student):
    def forward(self, images):
        return self.first(self.act(self.stem(images))[:, [7, 6, 5, 4, 3, 2, 1, 0]])


class Shortcut(Student):
    def forward(self, images):
        images = self.act(self.stem(images))
        return self.first(self.act(images + self.shared(images)))


def judge(title, kind, iterations=20):
    torch.manual_seed(0)
    student, images = kind().eval(), torch.randn(8, 3, 32, 32)
    with torch.no_grad():
        for value in student.parameters():
            value.mul_(torch.empty(len(value), *[1] * (value.dim() - 1)).uniform_(0.1, 3))
        if kind is Copies:
            student.again.load_state_dict(student.shared.state_dict())
        exact = student(images)
        changed = preprocess_for_quantize(copy.deepcopy(student), equalize_iters=iterations)(images)
        value = ((changed - exact).norm() / exact.norm()).item()
    print(f"{title + ':':45} {value:.2f}")
    return value


wrong = [
    judge("a head shared by two levels", Levels),
    judge("a convolution applied twice", Again),
    judge("a map times itself", Square),
    judge("channels in another order", Reordered),
]
right = [
    judge("a head for each level", Copies),
    judge("a shortcut", Shortcut),
    judge("a shared head, without equalization", Levels, iterations=0),
]
assert min(wrong) > 0.1 and max(right) < 1e-3
PYTHON
