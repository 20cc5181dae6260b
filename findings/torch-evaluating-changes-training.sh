#!/usr/bin/env bash
# torch==2.15.0
# Guess: A pass over a DataLoader without shuffling and without workers takes no random numbers.
# Behaviour: Each start of an iteration draws a seed for workers from the global generator, also where there are
#   none: a pass over the held-out set changes the dropout, the order and the augmentation of all that is trained
#   afterwards. A loader with a generator of its own does not.
# Seen:
#   last loss 1.157761: no evaluation
#   last loss 1.157761: again
#   last loss 1.155420: a pass over the held-out set each step
#   last loss 1.157761: the same, its loader has a generator
#   one pass changed the global random state: True
# Why it matters: Two students of one seed differ because one was evaluated more often, or the teacher's outputs
#   were computed in the same process; a comparison of losses or schedules then measures that. Give each loader a
#   generator.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv venv -q venv
uv pip install -q --python venv/bin/python torch==2.15.0 numpy==2.4.6
export OMP_NUM_THREADS=1
venv/bin/python -W ignore - <<'PYTHON'
import torch
from torch.utils.data import DataLoader, TensorDataset

held_out = DataLoader(TensorDataset(torch.zeros(8, 1)), batch_size=4, shuffle=False, num_workers=0)
own = DataLoader(held_out.dataset, batch_size=4, shuffle=False, num_workers=0, generator=torch.Generator())


def train(evaluate, steps=5):
    torch.manual_seed(0)
    student = torch.nn.Sequential(torch.nn.Linear(16, 16), torch.nn.Dropout(0.5), torch.nn.Linear(16, 4))
    optimiser = torch.optim.SGD(student.parameters(), lr=0.1)
    inputs, targets = torch.randn(32, 16), torch.randn(32, 4)
    for _ in range(steps):
        loss = torch.nn.functional.mse_loss(student(inputs), targets)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if evaluate is not None:
            for _ in evaluate:  # nothing is computed, nothing is shuffled
                pass
    return loss.item()


losses = {"no evaluation": train(None), "again": train(None), "a pass over the held-out set each step": train(held_out), "the same, its loader has a generator": train(own)}
for name, loss in losses.items():
    print(f"last loss {loss:.6f}: {name}")
torch.manual_seed(0)
before = torch.get_rng_state()
list(held_out)
print(f"one pass changed the global random state: {not torch.equal(before, torch.get_rng_state())}")
values = list(losses.values())
assert values[0] == values[1] == values[3] != values[2]
PYTHON
