#!/usr/bin/env bash
# clip-benchmark==1.6.2 (torch 2.15.0)
# Guess: amp, which is on unless --no_amp is given, runs the encoders in mixed precision. Cosines and ranks are computed in float32, as the
#   encoders' float32 embeddings and logits.float() suggest.
# Behaviour: The product of images and classes is within autocast, too. On a CPU its logits are bfloat16, which between 16 and 32 has steps
#   of 0.125: CLIP's logits are 100 times cosines of 0.2 to 0.3. Several classes share the best logit, and whichever topk names first is
#   the prediction. acc1 takes topk, mean_per_class_recall argmax, so with equally many images of each class they disagree although
#   they are the same number. The docstring says "whether to use automatic mixed precision"; no issue on it was found.
# Seen (embeddings with cosines like those of CLIP in a narrow domain, 200 classes, 20 images of each; the encoders only look up):
#   amp=True:  acc1 0.5357, mean per class 0.5375; best logit shared by classes: 0.089
#   amp=False: acc1 0.5370, mean per class 0.5370; best logit shared by classes: 0.000
#   predictions that differ: 0.051; mean cosine with the right class: 0.29
# Why it matters: One prediction of twenty is changed by the scoring, not by the model, so two students that agree seem to differ, and
#   differences of tenths of a percent between teacher and student mean nothing. Pass amp=False, or cast the encoder alone.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv venv -q venv
uv pip install -q --python venv/bin/python torch==2.15.0 numpy==2.2.6 scikit-learn==1.9.1 tqdm==4.67.1
uv pip install -q --no-deps --python venv/bin/python clip-benchmark==1.6.2
export OMP_NUM_THREADS=1
venv/bin/python -W ignore - 2>log <<'PYTHON'
import torch
from clip_benchmark.metrics.zeroshot_classification import evaluate, run_classification, zero_shot_classifier
from torch.nn.functional import normalize
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(0)
classes, each, width = 200, 20, 512
common = normalize(torch.randn(width), dim=0)
directions = normalize(torch.randn(classes, width), dim=1)
texts = normalize(0.9 * common + 0.3 * directions, dim=1)
labels = torch.arange(classes).repeat_interleave(each)
noise = normalize(torch.randn(len(labels), width), dim=1)
images = normalize(0.26 * common + 0.12 * directions[labels] + 0.95 * noise, dim=1)
names = [f"{index}" for index in range(classes)]
templates = ["{c}"]


class Model(torch.nn.Module):
    def encode_image(self, batch):
        return batch

    def encode_text(self, tokens):
        return texts[tokens]


def tokenizer(prompts):
    return torch.tensor([int(prompt) for prompt in prompts])


dataset = TensorDataset(images, labels)
dataset.classes = names
loader = DataLoader(dataset, batch_size=100)
seen, guesses = {}, {}
for amp in (True, False):
    values = evaluate(Model(), loader, tokenizer, names, templates, "cpu", amp=amp)
    classifier = zero_shot_classifier(Model(), tokenizer, names, templates, "cpu", amp=amp)
    logits, _ = run_classification(Model(), classifier, loader, "cpu", amp=amp)
    guesses[amp] = logits.argmax(dim=1)
    shared = ((logits == logits.amax(dim=1, keepdim=True)).sum(dim=1) > 1).float().mean().item()
    seen[amp] = values["acc1"], values["mean_per_class_recall"], shared
    print(f"{f'amp={amp}:':10} acc1 {seen[amp][0]:.4f}, mean per class {seen[amp][1]:.4f}; best logit shared by classes: {shared:.3f}")
other = (guesses[True] != guesses[False]).float().mean().item()
cosines = (images @ texts.T)[torch.arange(len(labels)), labels]
print(f"predictions that differ: {other:.3f}; mean cosine with the right class: {cosines.mean():.2f}")
assert seen[True][2] > 0.03 and seen[False][2] == 0 and other > 0.02
assert abs(seen[False][0] - seen[False][1]) < 1e-9 and abs(seen[True][0] - seen[True][1]) > 1e-4
PYTHON
