#!/usr/bin/env bash
# warmup-scheduler==0.3 (torch 2.15.0)
# Guess: A run that resumes from the state dicts of model, optimizer and GradualWarmupScheduler goes on with the learning rates of the run
#   that was not interrupted.
# Behaviour: The scheduler's state dict holds the whole after_scheduler, and with it the first run's optimizer. A resumed run takes it over,
#   and moves the rate of that optimizer instead of its own: after the warm-up its rate stands still, wherever it was saved. The checkpoint
#   contains the model's weights and the optimizer's state once more. The README does not say so; issue 27 of the repository is open.
# Seen (SGD at 0.1, warm-up of 2 epochs, cosine over 8; the rate in each epoch from the fifth on, as it should be and after a resume):
#   one run:                0.100, 0.089, 0.072, 0.052, 0.032
#   resumed after 4 epochs: 0.100, 0.100, 0.100, 0.100, 0.100
#   resumed after 1 epoch:  0.052, 0.052, 0.052, 0.052, 0.052
#   after 4, with after_scheduler.optimizer = optimizer: as in one run
# Why it matters: A distillation that is continued trains at a high rate to its end and loses the last points that the annealing brings.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv venv -q venv
uv pip install -q --python venv/bin/python torch==2.15.0 numpy==2.4.6 warmup-scheduler==0.3
export OMP_NUM_THREADS=1
venv/bin/python -W ignore - <<'PYTHON'
import torch
from torch.optim.lr_scheduler import CosineAnnealingLR
from warmup_scheduler import GradualWarmupScheduler


class Run:
    """A model with its optimizer and schedule, as a new process builds them."""

    def __init__(self):
        self.model = torch.nn.Linear(1000, 10)
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.1, momentum=0.9)
        self.schedule = GradualWarmupScheduler(self.optimizer, 1.0, 2, CosineAnnealingLR(self.optimizer, 8))

    def train(self, epochs):
        rates = []
        for _ in range(epochs):
            rates.append(self.optimizer.param_groups[0]["lr"])
            self.optimizer.step()
            self.schedule.step()
        return rates

    def save(self, path):
        parts = {"model": self.model, "optimizer": self.optimizer, "schedule": self.schedule}
        torch.save({name: part.state_dict() for name, part in parts.items()}, path)

    def load(self, path):
        state = torch.load(path, weights_only=False)
        for name, part in {"model": self.model, "optimizer": self.optimizer, "schedule": self.schedule}.items():
            part.load_state_dict(state[name])
        return state["schedule"]


def show(title, rates):
    print(f"{title + ':':43} {', '.join(f'{rate:.3f}' for rate in rates)}")
    return rates


one = show("one run", Run().train(9)[4:])
late = {}
for epochs in (4, 1):
    first, resumed = Run(), Run()
    first.train(epochs)
    first.save("checkpoint.pt")
    saved = resumed.load("checkpoint.pt")
    late[epochs] = show(f"resumed after {epochs} epoch" + "s" * (epochs > 1), resumed.train(9 - epochs)[4 - epochs :])
    kept = saved["after_scheduler"].optimizer.param_groups[0]["params"][0]
    assert kept.shape == (10, 1000) and kept is not resumed.model.weight
first, resumed = Run(), Run()
first.train(4)
first.save("checkpoint.pt")
resumed.load("checkpoint.pt")
resumed.schedule.after_scheduler.optimizer = resumed.optimizer
mended = show("with after_scheduler.optimizer = optimizer", resumed.train(5))
assert max(one) - min(one) > 0.03 and all(abs(a - b) < 1e-9 for a, b in zip(one, mended))
assert all(max(rates) - min(rates) < 1e-9 for rates in late.values())
PYTHON
