#!/usr/bin/env bash
# transformers==5.24.0 (accelerate 1.15.0, torch 2.15.0)
# Guess: With Trainer, 4 batches of 8 images that are accumulated give the loss and gradients of one batch of 32, as the documentation of
#   gradient_accumulation_steps has it.
# Behaviour: A model whose forward takes **kwargs, as ViT's and most others' do, is trusted to divide its loss by the items of all
#   accumulated batches. Only its cross-entropy does. The losses for several labels and for regression are means of one batch, and so are
#   most that a subclass's compute_loss returns, say to a teacher: they are added up, undivided. Loss and gradients grow with the number of
#   accumulated batches. For one's own compute_loss the docstring of Trainer names the attribute loss_is_scaled_for_ga; for the models' own
#   losses no documentation says so, and issue 47688 is open.
# Seen (a small ViT, 32 images in one step; logged loss and norm of the gradient with 1, 4 and 8 accumulated batches):
#   single_label_classification: 2.305 1.073, 2.305 1.073, 2.305 1.073
#   multi_label_classification:  0.692 0.191, 2.768 0.766, 5.537 1.532
#   regression:                  0.969 1.290, 3.876 5.161, 7.751 10.322
#   compute_loss to a teacher:   0.969 1.290, 3.876 5.161, 7.751 10.322
# Why it matters: The default max_grad_norm of 1 clips what it did not before, SGD's rate is multiplied, and runs on smaller GPUs, with more
#   accumulation, differ from those on larger. A student of a teacher's embeddings is hit as soon as its data set has a column "labels".
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv venv -q venv
uv pip install -q --python venv/bin/python torch==2.15.0 numpy==2.4.6 transformers==5.24.0 accelerate==1.15.0
export OMP_NUM_THREADS=1
venv/bin/python -W ignore - 2>log <<'PYTHON'
import tempfile

import torch
from transformers import PrinterCallback, Trainer, TrainingArguments, ViTConfig, ViTForImageClassification, logging

logging.set_verbosity_error()
torch.manual_seed(0)
images, embeddings = torch.randn(32, 3, 16, 16), torch.randn(32, 10)
one, several = torch.randint(0, 10, (32,)), torch.randint(0, 2, (32, 10)).float()
small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16, "image_size": 16, "patch_size": 8}


class ToTeacher(Trainer):
    """The student's outputs are to be the teacher's embeddings, which come as labels."""

    def compute_loss(self, model, inputs, return_outputs=False, **kwargs):
        outputs = model(inputs["pixel_values"]).logits
        return (outputs - inputs["labels"]).pow(2).mean()


def step(kind, labels, trainer, accumulated):
    """Logged loss and norm of the gradient of one step with all images."""
    torch.manual_seed(0)
    model = ViTForImageClassification(ViTConfig(**small, num_labels=10, problem_type=kind))
    data = [{"pixel_values": image, "labels": label} for image, label in zip(images, labels)]
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            folder,
            per_device_train_batch_size=32 // accumulated,
            gradient_accumulation_steps=accumulated,
            max_steps=1,
            logging_steps=1,
            report_to=[],
            save_strategy="no",
            use_cpu=True,
            disable_tqdm=True,
        )
        run = trainer(model, arguments, train_dataset=data)
        run.remove_callback(PrinterCallback)
        run.train()
        return run.state.log_history[0]["loss"], run.state.log_history[0]["grad_norm"]


kinds = {
    "single_label_classification": (one, Trainer),
    "multi_label_classification": (several, Trainer),
    "regression": (embeddings, Trainer),
    "compute_loss to a teacher": (embeddings, ToTeacher),
}
for name, (labels, trainer) in kinds.items():
    kind = None if trainer is ToTeacher else name
    seen = {count: step(kind, labels, trainer, count) for count in (1, 4, 8)}
    print(f"{name + ':':28}", ", ".join(f"{loss:.3f} {norm:.3f}" for loss, norm in seen.values()))
    for count in (4, 8):
        times = 1 if labels is one else count
        assert all(abs(later / first - times) < 1e-3 * times for first, later in zip(seen[1], seen[count]))
PYTHON
