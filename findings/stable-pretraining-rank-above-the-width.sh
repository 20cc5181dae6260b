#!/usr/bin/env bash
# stable-pretraining==0.1.8
# Guess: RankMe is the effective rank, the exponential of the singular values' entropy: at most the width of the features, and of as
#   many features as there are directions it is that number.
# Behaviour: It adds 1e-5 to each share of the singular values (the paper 1e-7), and the shares no longer sum to one. Each direction
#   adds about 1e-4 to the entropy, empty ones too, so that the value grows with the width. No documentation or issue on it was found.
# Seen (RankMe of the callback, then the exponential of the entropy, with nothing added):
#   width                    384             768             2048
#   all directions alike     391.4, 384.0    802.0, 768.0    2345.1, 2048.0
#   ten directions           10.4, 10.0      10.9, 10.0      12.6, 10.0
#   a spectrum of 1/k        99.5, 97.3      159.9, 152.0    329.4, 281.4
# Why it matters: Whether a student's features have collapsed beside its teacher's is told by this number, and the two have other
#   widths: of 2048 features it is 15 to 26 % too high, of 384 2 to 4 %. A rank above the width is the only sign. Compute it anew.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv venv -q venv
uv pip install -q --python venv/bin/python torch==2.15.0 lightning==2.6.6 stable-pretraining==0.1.8
export OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1 WANDB_MODE=disabled
HOME="$folder" venv/bin/python -W ignore - 2>log <<'PYTHON' | grep -E "^(width|all|ten|a) "
import lightning
import stable_pretraining
import torch
from stable_pretraining.callbacks import RankMe
from torch import nn
from torch.utils.data import DataLoader


def forward(self, batch, stage):
    anchor = self.anchor.square().sum()
    return {"embedding": batch["feature"]} | ({"loss": anchor} if stage == "fit" else {})


class Watch(lightning.Callback):
    def on_validation_end(self, trainer, module):
        self.value = trainer.callback_metrics["rankme"].item()


def rankme(features):
    """What the callback logs in the validation after an epoch in which these features were seen."""
    module = stable_pretraining.Module(anchor=nn.Parameter(torch.ones(1)), forward=forward, optim={"optimizer": {"type": "SGD", "lr": 0.01}})
    loader = DataLoader([{"feature": feature} for feature in features], batch_size=512)
    watch, quiet = Watch(), {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
    callbacks = [RankMe("rankme", "embedding", len(features), features.shape[1]), watch]
    lightning.Trainer(accelerator="cpu", max_epochs=1, num_sanity_val_steps=0, callbacks=callbacks, **quiet).fit(module, loader, loader)
    return watch.value


def entropy_rank(features):
    values = torch.linalg.svdvals(features.double())
    share = values[values > 1e-6 * values[0]] / values.sum()
    return torch.exp(-(share * share.log()).sum()).item()


torch.manual_seed(0)
WIDTHS = 384, 768, 2048
seen = {"all directions alike": [], "ten directions": [], "a spectrum of 1/k": []}
for width in WIDTHS:
    frame = torch.linalg.qr(torch.randn(width + 64, width))[0]
    ten = (torch.arange(width) < 10).float()
    for rows, scale in zip(seen.values(), (torch.ones(width), ten, 1 / torch.arange(1, width + 1))):
        rows.append((rankme(frame * scale), entropy_rank(frame * scale)))
print(f"{'width':25}" + "".join(f"{width:<16}" for width in WIDTHS).rstrip())
for title, rows in seen.items():
    print(f"{title:25}" + "".join(f"{f'{logged:.1f}, {right:.1f}':16}" for logged, right in rows).rstrip())
assert all(logged > width for (logged, _), width in zip(seen["all directions alike"], WIDTHS))
assert abs(seen["all directions alike"][0][1] - 384) < 0.1 and abs(seen["ten directions"][2][1] - 10) < 0.01
assert seen["ten directions"][2][0] > 12 and seen["a spectrum of 1/k"][2][0] > 1.15 * seen["a spectrum of 1/k"][2][1]
PYTHON
