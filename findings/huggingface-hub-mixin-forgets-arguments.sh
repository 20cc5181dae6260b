#!/usr/bin/env bash
# huggingface_hub==2.4.0
# Guess: A model with PyTorchModelHubMixin comes back from save_pretrained and from_pretrained as it was, or one of the two
#   complains about an argument of its constructor that JSON cannot hold.
# Behaviour: An argument that JSON cannot hold, such as an activation's class or a NumPy number, is left out of config.json, or
#   stands there with its default; the weights fit, and the model is built with the default. Not a word about it.
# Seen:
#   config.json: {"scale": 1.0, "width": 16}
#   saved: GELU, scale 3.0; loaded: ReLU, scale 1.0; warnings about it: 0
#   largest difference of outputs: 2.34, of a largest output of 3.51
#   with the activation as a string and a Python number: 0.00
# Why it matters: A student is built from such arguments (an activation, a norm, the temperature or scale of its logits, a width that
#   came from NumPy), and the published one is another function with the same weights: its accuracy drops and nobody
#   knows why. Take strings and Python numbers, or give the mixin coders.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv venv -q venv
uv pip install -q --python venv/bin/python torch==2.15.0 numpy==2.4.6 safetensors==0.8.0 huggingface_hub==2.4.0
export OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1
venv/bin/python - <<'PYTHON'
import contextlib
import io
import json
import warnings
from pathlib import Path

import numpy as np
import torch
from huggingface_hub import PyTorchModelHubMixin
from torch import nn


class Student(nn.Module, PyTorchModelHubMixin):
    def __init__(self, width: int = 8, activation: type[nn.Module] = nn.ReLU, scale=1.0):
        super().__init__()
        self.first, self.activation, self.last, self.scale = nn.Linear(4, width), activation(), nn.Linear(width, 10), scale

    def forward(self, x):
        return self.scale * self.last(self.activation(self.first(x)))


class Named(Student, PyTorchModelHubMixin):
    def __init__(self, width: int = 8, activation: str = "ReLU", scale: float = 1.0):
        super().__init__(width, getattr(nn, activation), scale)


def again(model, folder):
    """The model as it is loaded, and how many warnings name an argument or the configuration."""
    with warnings.catch_warnings(record=True) as warned, contextlib.redirect_stdout(io.StringIO()) as printed:
        warnings.simplefilter("always")
        model.save_pretrained(folder)
        loaded = type(model).from_pretrained(folder)
    texts = [str(warning.message) for warning in warned] + printed.getvalue().splitlines()
    return loaded, sum(any(word in text.lower() for word in ("activation", "scale", "argument", "config")) for text in texts)


torch.manual_seed(0)
x = torch.randn(100, 4)
model = Student(width=16, activation=nn.GELU, scale=np.float32(3.0))
loaded, warned = again(model, "student")
config = json.loads(Path("student/config.json").read_text())
print(f"config.json: {json.dumps(config)}")
print(f"saved: {type(model.activation).__name__}, scale {model.scale}; loaded: {type(loaded.activation).__name__}, scale {loaded.scale}; warnings about it: {warned}")
with torch.no_grad():
    wrong = (model(x) - loaded(x)).abs().max().item()
    print(f"largest difference of outputs: {wrong:.2f}, of a largest output of {model(x).abs().max().item():.2f}")
    named = Named(width=16, activation="GELU", scale=3.0)
    right = (named(x) - again(named, "named")[0](x)).abs().max().item()
print(f"with the activation as a string and a Python number: {right:.2f}")
assert config == {"scale": 1.0, "width": 16} and warned == 0
assert isinstance(loaded.activation, nn.ReLU) and loaded.scale == 1.0
assert all(torch.equal(value, loaded.state_dict()[name]) for name, value in model.state_dict().items())
assert wrong > 0.5 and right == 0
PYTHON
