#!/usr/bin/env bash
# neural-compressor==2.6 (torch 2.15.0)
# Guess: SelfKnowledgeDistillationLoss adds up its losses by loss_weights, one for each entry of layer_mappings; temperature softens the
#   outputs of each that compares class logits.
# Behaviour: The sum so far is added once more after each entry: of three losses the first counts three times, the second twice. The order
#   of the entries is a weight. temperature divides the outputs of the second entry alone, whichever that is, and no loss is multiplied by
#   its square. We found no documentation of it. Version 3.10 has no distillation.
# Seen (three exits of a network to its last one, weights of 1 each; by type of loss, the loss of each entry alone, their sum, what the three
#   together give, and 3, 2 and 1 times the three; then the gradient's share of each exit; each exit's gradient at T = 4 over that at T = 1):
#   CE CE CE: 2.73 2.79 2.70; sum 8.22, together 16.48, uneven 16.48
#   L2 KL CE: 34.71 0.09 2.70; sum 37.49, together 106.99, uneven 106.99
#   gradient: 50% 33% 17%
#   gradient at T = 4 over T = 1, by entry: 1.00 0.06 1.00
# Why it matters: The shallowest exit gets half of the weight that is meant for all, the classes' soft targets a sixth, and the same losses in
#   another order are another recipe. A sweep of temperature changes one of three terms. Give each entry a criterion of its own, or
#   divide the weights by 3, 2 and 1.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv venv -q venv
uv pip install -q --python venv/bin/python torch==2.15.0 numpy==1.26.4 setuptools==79.0.1 six==1.17.0 neural-compressor==2.6
export OMP_NUM_THREADS=1
venv/bin/python -W ignore - 2>log <<'PYTHON'
import torch
from neural_compressor.compression.distillation.criterions import PyTorchSelfKnowledgeDistillationLoss

EXITS = ("first", "second", "third")
torch.manual_seed(0)
outputs = {name: torch.randn(64, 10, requires_grad=True) for name in (*EXITS, "last")}
mappings = [[[name, "last"]] for name in EXITS]


def loss(entries, types, temperature=1.0):
    given = [mappings[entry] for entry in entries]
    criterion = PyTorchSelfKnowledgeDistillationLoss(given, types, [1.0] * len(given), temperature)
    return criterion.loss_cal(outputs)


for types in (["CE", "CE", "CE"], ["L2", "KL", "CE"]):
    each = [loss([entry], [kind]).item() for entry, kind in enumerate(types)]
    together = loss([0, 1, 2], types)
    uneven = 3 * each[0] + 2 * each[1] + each[2]
    numbers = " ".join(f"{value:.2f}" for value in each)
    print(f"{' '.join(types)}: {numbers}; sum {sum(each):.2f}, together {together.item():.2f}, uneven {uneven:.2f}")
    assert abs(together.item() - uneven) < 1e-3 < abs(uneven - sum(each))

together = loss([0, 1, 2], ["CE", "CE", "CE"])
sizes = [gradient.norm().item() for gradient in torch.autograd.grad(together, [outputs[name] for name in EXITS])]
shares = [size / sum(sizes) for size in sizes]
print("gradient: " + " ".join(f"{share:.0%}" for share in shares))
assert shares[0] > 2.5 * shares[2]

ratios = []
for place in range(3):
    alone = [loss(range(place + 1), ["CE"] * (place + 1), temperature) for temperature in (1.0, 4.0)]
    gradients = [torch.autograd.grad(value, outputs[EXITS[place]])[0].norm().item() for value in alone]
    ratios.append(gradients[1] / gradients[0])
print("gradient at T = 4 over T = 1, by entry: " + " ".join(f"{ratio:.2f}" for ratio in ratios))
assert ratios[0] == ratios[2] == 1 and ratios[1] < 0.5
PYTHON
