#!/usr/bin/env bash
# torch-cka==0.21
# Guess: export()["CKA"][i, j] compares the layers that export()["model1_layers"][i] and export()["model2_layers"][j] name.
# Behaviour: The names are in the order of named_modules(), where a block comes before its parts and layers as __init__
#   made them; the rows are in the order in which the forward pass leaves the layers, parts before their block. A list of
#   layers given by the user does not help: its order is used for neither.
# Seen:
#   names stem, head, body, body.0, body.2; rows stem, body.0, body.2, body, head
#   stem and head: called 0.903, is 0.577; that is stem and body.0
#   5 of 5 names on the diagonal look right, since each layer is compared with itself
# Why it matters: Which layer of a teacher a student resembles, and so where to attach a feature loss, is read off this
#   matrix. For models whose blocks or heads are listed it names other layers, and no entry looks wrong. List leaves of one
#   depth that run in the order in which they are defined, or compute CKA from hooks of one's own.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv venv -q venv
uv pip install -q --python venv/bin/python torch==2.15.0 torchvision==0.29.2 torch-cka==0.21 numpy==2.4.6 tqdm==4.70.1 matplotlib==3.11.2
export OMP_NUM_THREADS=1 MPLBACKEND=Agg TQDM_DISABLE=1
venv/bin/python -W ignore - <<'PYTHON'
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from torch_cka import CKA

LAYERS = ["head", "body.2", "body", "body.0", "stem"]


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.head = nn.Linear(8, 16), nn.Linear(16, 4)
        self.body = nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 16))

    def forward(self, x):
        return self.head(self.body(self.stem(x)))


def unbiased(one, other):
    """CKA with the unbiased HSIC of Nguyen et al., 2010.15327, equation 3."""

    def gram(features):
        return (features @ features.T).fill_diagonal_(0)

    def hsic(k, l):
        n, ones = len(k), torch.ones(len(k), dtype=k.dtype)
        return (torch.trace(k @ l) + (ones @ k @ ones) * (ones @ l @ ones) / (n - 1) / (n - 2) - 2 * ones @ k @ l @ ones / (n - 2)) / n / (n - 3)

    k, l = gram(one.double()), gram(other.double())
    return (hsic(k, l) / (hsic(k, k) * hsic(l, l)).sqrt()).item()


torch.manual_seed(0)
model = Model().eval()
data = TensorDataset(torch.randn(64, 8))
cka = CKA(model, model, "one", "two", model1_layers=LAYERS, model2_layers=LAYERS)
with torch.no_grad():
    cka.compare(DataLoader(data, batch_size=64))
exported = cka.export()
names, matrix = exported["model1_layers"], exported["CKA"]

ran = {}
for name in LAYERS:
    model.get_submodule(name).register_forward_hook(lambda *call, name=name: ran.__setitem__(name, call[2]))
with torch.no_grad():
    model(data.tensors[0])
rows = list(ran)
truth = {(a, b): unbiased(ran[a], ran[b]) for a in rows for b in rows}
print(f"names {', '.join(names)}; rows {', '.join(rows)}")
called = matrix[names.index("stem"), names.index("head")].item()
print(f"stem and head: called {called:.3f}, is {truth['stem', 'head']:.3f}; that is stem and {rows[names.index('head')]}")
print(f"{(matrix.diagonal() > 0.999).sum()} of {len(names)} names on the diagonal look right, since each layer is compared with itself")
assert sorted(names) == sorted(rows) == sorted(LAYERS) and names != rows and LAYERS not in (names, rows)
for i, a in enumerate(rows):
    for j, b in enumerate(rows):
        assert abs(matrix[i, j].item() - truth[a, b]) < 1e-3, (a, b)
assert abs(called - truth["stem", "head"]) > 0.1
PYTHON
