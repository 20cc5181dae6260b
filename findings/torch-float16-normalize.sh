#!/usr/bin/env bash
# torch==2.15.0
# Guess: The eps of normalize (1e-12) and of cosine_similarity (1e-8) guards against zero vectors, and vectors whose
#   values are all finite have a finite length.
# Behaviour: In float16 both eps round to 0, so zeros give NaN; and the length is rounded to float16 before the
#   division, so 1,024 values of 3,000 (far below 65,504) become all zeros and their cosine with themselves is 0.
#   float32 and bfloat16 are right.
# Seen:
#   torch.float32: normalize(zeros) 0.0, length of normalize(large) 1.000, cosine of large with itself 1.000, of zeros with zeros 0.0
#   torch.bfloat16: normalize(zeros) 0.0, length of normalize(large) 1.000, cosine of large with itself 1.000, of zeros with zeros 0.0
#   torch.float16: normalize(zeros) nan, length of normalize(large) 0.000, cosine of large with itself 0.000, of zeros with zeros nan
# Why it matters: Features are stored in float16 for their precision; there are places that ReLU leaves empty, and
#   tokens with massive activations. Attention transfer and cosine losses become NaN, or such tokens drop out of the
#   loss unseen. Go to float32 first.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv venv -q venv
uv pip install -q --python venv/bin/python torch==2.15.0 numpy==2.4.6
export OMP_NUM_THREADS=1
venv/bin/python -W ignore - <<'PYTHON'
import math

import torch
from torch.nn.functional import cosine_similarity, normalize

dead = torch.zeros(1, 512)  # a place where all channels are below ReLU
large = torch.full((1, 1024), 3000.0)  # a token with massive activations; each value is far from the limit of 65,504
seen = {}
for dtype in (torch.float32, torch.bfloat16, torch.float16):
    seen[dtype] = normalize(dead.to(dtype))[0, 0].item(), normalize(large.to(dtype)).float().norm().item(), cosine_similarity(large.to(dtype), large.to(dtype)).item(), cosine_similarity(dead.to(dtype), dead.to(dtype)).item()
    print(f"{dtype}: normalize(zeros) {seen[dtype][0]}, length of normalize(large) {seen[dtype][1]:.3f}, cosine of large with itself {seen[dtype][2]:.3f}, of zeros with zeros {seen[dtype][3]}")
for dtype in (torch.float32, torch.bfloat16):
    assert seen[dtype][0] == 0 and seen[dtype][3] == 0 and abs(seen[dtype][1] - 1) < 0.01 and abs(seen[dtype][2] - 1) < 0.01
assert math.isnan(seen[torch.float16][0]) and math.isnan(seen[torch.float16][3]) and seen[torch.float16][1:3] == (0, 0)
PYTHON
