#!/usr/bin/env bash
# pytorch-metric-learning==2.9.0
# Guess: CrossBatchMemory is a module with its memory in buffers: its state_dict, loaded again, goes on as if there had been no break.
# Behaviour: The embeddings and labels are saved, how many there are and where the next go is not. After loading the memory counts as
#   empty: each batch is compared with itself and what came since, and overwrites the saved embeddings from the start.
#   load_state_dict reports no missing key; the documentation does not say it, and no issue on it was found.
# Seen (a memory of 256, batches of 32, the same batches: how many embeddings a batch is compared with; its loss):
#   without a break: 256 256 256 256 256 256 256 256; 5.18 5.25 5.20 5.26 5.26 5.26 5.26 5.25
#   resumed:          32  64  96 128 160 192 224 256; 3.13 3.88 4.23 4.56 4.79 4.98 5.12 5.25
# Why it matters: Contrastive distillation with a memory of 65,536 has few negatives for the first thousand steps after each
#   restart, and a loss that is lower for nothing. Save queue_idx and has_been_filled, too, and set them after loading.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv venv -q venv
uv pip install -q --python venv/bin/python torch==2.15.0 numpy==2.4.6 pytorch-metric-learning==2.9.0
export OMP_NUM_THREADS=1
venv/bin/python -W ignore - <<'PYTHON'
import copy

import torch
from pytorch_metric_learning import losses

MEMORY, BATCH = 256, 32


class NTXentLoss(losses.NTXentLoss):
    """Notes how many embeddings of the memory it is given."""

    def forward(self, embeddings, labels, indices_tuple=None, ref_emb=None, ref_labels=None):
        self.given = len(ref_emb)
        return super().forward(embeddings, labels, indices_tuple, ref_emb, ref_labels)


def batches(seed):
    generator = torch.Generator().manual_seed(seed)
    for _ in range(8):
        labels = torch.arange(8).repeat(4)
        yield torch.randn(BATCH, 16, generator=generator) + labels[:, None] % 4, labels


def run(memory, steps):
    return [(memory(embeddings, labels).item(), memory.loss.given) for embeddings, labels in steps]


memory = losses.CrossBatchMemory(NTXentLoss(temperature=0.5), embedding_size=16, memory_size=MEMORY)
run(memory, batches(0))
resumed = losses.CrossBatchMemory(NTXentLoss(temperature=0.5), embedding_size=16, memory_size=MEMORY)
state, position = copy.deepcopy(memory.state_dict()), (memory.queue_idx, memory.has_been_filled)
report = resumed.load_state_dict(state)
assert not report.missing_keys and not report.unexpected_keys
assert torch.equal(resumed.embedding_memory, memory.embedding_memory) and memory.embedding_memory.abs().sum(dim=1).min() > 0
going, again = run(memory, batches(1)), run(resumed, batches(1))
for title, steps in (("without a break:", going), ("resumed:", again)):
    print(f"{title:16} {' '.join(f'{given:3}' for _, given in steps)}; {' '.join(f'{loss:.2f}' for loss, _ in steps)}")
assert all(given == MEMORY for _, given in going) and [given for _, given in again] == [BATCH * (step + 1) for step in range(8)]
by_hand = losses.CrossBatchMemory(NTXentLoss(temperature=0.5), embedding_size=16, memory_size=MEMORY)
by_hand.load_state_dict(state)
by_hand.queue_idx, by_hand.has_been_filled = position
assert run(by_hand, batches(1)) == going, "with both set, nothing is lost"
assert abs(going[0][0] - again[0][0]) > 0.5 and abs(going[-1][0] - again[-1][0]) < 1e-5
PYTHON
