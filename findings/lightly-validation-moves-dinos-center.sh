#!/usr/bin/env bash
# lightly==1.6.0
# Guess: DINOLoss in eval mode under no_grad measures the loss of held-out images and leaves what training uses as it was, as batch
#   norm does.
# Behaviour: Each call moves the center, in eval mode, too; there is no argument against it. Twenty batches of held-out images are 88 %
#   of the center. The class says that the center is updated "during training". Open pull request 2062 is about gradient accumulation.
# Seen (teacher's scores of 64 prototypes, held-out images of another domain; 50 batches of training, 20 of validation, 1 of training):
#   no validation:            center moved to held-out by 0%; 4% of targets prefer one prototype; next training loss 33.08
#   validation in eval mode:  center moved to held-out by 88%; 78% of targets prefer one prototype; next training loss 5.53
#   validation with a copy:   center moved to held-out by 0%; 4% of targets prefer one prototype; next training loss 33.08
# Why it matters: Looking at the validation loss changes the training that follows, and the teacher's targets are centered by what it
#   should not have seen. Runs that validate more often are other runs. Validate with a deep copy of the loss.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv venv -q venv
uv pip install -q --python venv/bin/python torch==2.15.0 torchvision==0.29.2 timm==1.0.31 lightly==1.6.0
export OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1
venv/bin/python -W ignore - <<'PYTHON'
import copy

import torch
from lightly.loss import DINOLoss

PROTOTYPES = 64
torch.manual_seed(0)
train, held_out = torch.randn(PROTOTYPES), torch.randn(PROTOTYPES)


def batches(means, seed, count):
    """Scores of a teacher and its student for two views of 128 images."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(count):
        teacher, noise = (0.3 * torch.randn(2, 128, PROTOTYPES, generator=generator) for _ in range(2))
        yield list(means + teacher), list(means + teacher + noise)


def run(validate):
    criterion = DINOLoss(output_dim=PROTOTYPES, warmup_teacher_temp_epochs=1)
    for teacher, student in batches(train, 0, 50):
        criterion(teacher, student, epoch=5)
    before = criterion.center.clone()
    if validate:
        measured = validate(criterion).eval()
        with torch.no_grad():
            for teacher, student in batches(held_out, 1, 20):
                measured(teacher, student, epoch=5)
    criterion.train()
    towards = (criterion.center - before).norm() / (held_out - before.flatten()).norm()
    teacher, student = next(batches(train, 2, 1))
    targets = torch.softmax((torch.stack(teacher) - criterion.center) / 0.04, dim=-1)
    share = targets.argmax(dim=-1).flatten().bincount(minlength=PROTOTYPES).max().item() / 256
    return towards.item(), share, criterion(teacher, student, epoch=5).item()


rows = {"no validation": None, "validation in eval mode": lambda loss: loss, "validation with a copy": copy.deepcopy}
seen = {title: run(validate) for title, validate in rows.items()}
for title, (towards, share, loss) in seen.items():
    print(f"{title + ':':25} center moved to held-out by {towards:.0%}; {share:.0%} of targets prefer one prototype; ", end="")
    print(f"next training loss {loss:.2f}")
assert seen["validation with a copy"] == seen["no validation"] and seen["no validation"][0] == 0
assert seen["validation in eval mode"][0] > 0.8 and abs(seen["validation in eval mode"][2] - seen["no validation"][2]) > 0.1
assert seen["validation in eval mode"][1] > 3 * seen["no validation"][1]
PYTHON
