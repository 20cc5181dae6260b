#!/usr/bin/env bash
# pytorch-lightning==2.6.6 (torch 2.15.0)
# Guess: ModelPruning("l1_unstructured", amount=0.2) prunes what was trained; with use_lottery_ticket_hypothesis=True it sets the weights
#   that are left to their first values after each pruning.
# Behaviour: The second is the default, and on a CPU it happens once. The callback makes its copies of the first weights the parameters'
#   own memory (dst.data = src.data.to(device)), so training changes the copies, and each later reset changes nothing. A run that prunes
#   once returns its first weights, masked. The default stands in the signature; no documentation or issue on the rest was found.
# Seen (a classifier of four classes, pruned after each epoch; the share of the weights left that have their first values then, and the
#   accuracy after fit):
#   default, 5 epochs:    100% 0% 0% 0% 0%; accuracy 98%
#   default, 1 epoch:     100%; accuracy 52%
#   turned off, 1 epoch:  0%; accuracy 84%
# Why it matters: The example of the documentation, run for one epoch to prune a distilled student, gives back the weights from before
#   the epoch, and with more epochs the first one is lost. Lottery tickets that were looked for on a CPU were never rewound. Pass
#   use_lottery_ticket_hypothesis=False, or rewind from a state dict of one's own.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv venv -q venv
uv pip install -q --python venv/bin/python torch==2.15.0 numpy==2.4.6 pytorch-lightning==2.6.6
export OMP_NUM_THREADS=1
venv/bin/python -W ignore - 2>log <<'PYTHON'
import pytorch_lightning as lightning
import torch
from pytorch_lightning.callbacks import Callback, ModelPruning
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(0)
images = torch.randn(512, 16)
labels = images[:, :4].argmax(dim=1)
QUIET = dict.fromkeys(("logger", "enable_progress_bar", "enable_model_summary", "enable_checkpointing"), False)


class Student(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Linear(16, 64), nn.Linear(64, 4)

    def forward(self, images):
        return self.head(self.body(images).relu())

    def training_step(self, batch, index):
        return nn.functional.cross_entropy(self(batch[0]), batch[1])

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), 0.01)


class Look(Callback):
    """Notes how many of the weights left have their first values, after the pruning of each epoch."""

    def __init__(self, student):
        self.first, self.shares = {name: layer.weight.detach().clone() for name, layer in student.named_children()}, []

    def on_train_epoch_end(self, trainer, student):
        same = [(layer.weight_orig == self.first[name])[layer.weight_mask == 1] for name, layer in student.named_children()]
        self.shares.append(torch.cat(same).float().mean().item())


def judge(title, epochs, **settings):
    torch.manual_seed(0)
    student = Student()
    look = Look(student)
    pruning = ModelPruning("l1_unstructured", parameter_names=["weight"], amount=0.2, **settings)
    trainer = lightning.Trainer(max_epochs=epochs, accelerator="cpu", callbacks=[pruning, look], **QUIET)
    trainer.fit(student, DataLoader(TensorDataset(images, labels), 32, shuffle=True))
    accuracy = (student(images).argmax(dim=1) == labels).float().mean().item()
    print(f"{title + ':':21} {' '.join(f'{share:.0%}' for share in look.shares)}; accuracy {accuracy:.0%}")
    return look.shares, accuracy


shares, accuracy = judge("default, 5 epochs", 5)
assert shares[0] == 1 and max(shares[1:]) < 0.01 and accuracy > 0.9
shares, lost = judge("default, 1 epoch", 1)
assert shares == [1]
shares, trained = judge("turned off, 1 epoch", 1, use_lottery_ticket_hypothesis=False)
assert shares[0] < 0.01 and trained > lost + 0.2
PYTHON
