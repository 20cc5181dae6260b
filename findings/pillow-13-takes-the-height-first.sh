#!/usr/bin/env bash
# Pillow 12.0.0 and 13.0.0 (numpy 2.4.6)
# Guess: Image.resize gives the same pixels in every version, so what published weights saw can be had from any.
# Behaviour: Both resize one side after the other and round to whole grey levels between. Pillow 12 takes the width first;
#   13 takes the height first where that shrinks by more than twice the pixels that the width shrinks by.
# Seen:
#   640 x 427 to 384 x 384, grey levels apart: most 0
#   427 x 640 to 384 x 384, grey levels apart: most 29
#   427 x 640 to 224 x 335, grey levels apart: most 0
#   300 x 900 to 224 x 672, grey levels apart: most 22
# Why it matters: Weights of a model that squashes pictures into a square (BLIP) were evaluated on other pixels of
#   portraits, and transformers' own resize of tensors gives those. In photographs of COCO it is up to 19 levels. Resize
#   the width alone, then the height.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
for version in 12.0.0 13.0.0; do
    uv venv -q "$version"
    uv pip install -q --python "$version/bin/python" pillow=="$version" numpy==2.4.6
    "$version/bin/python" - "$version" <<'PYTHON'
import sys

import numpy as np
from PIL import Image

draw = np.random.default_rng(0)
resized = {}
for (width, height), size in (((640, 427), (384, 384)), ((427, 640), (384, 384)), ((427, 640), (224, 335)), ((300, 900), (224, 672))):
    picture = Image.fromarray(255 * draw.integers(0, 2, (height, width, 3), dtype=np.uint8))
    name = f"{width} x {height} to {size[0]} x {size[1]}"
    resized[name] = np.asarray(picture.resize(size, Image.Resampling.BICUBIC))
    by_width = picture.resize((size[0], height), Image.Resampling.BICUBIC).resize(size, Image.Resampling.BICUBIC)
    resized[f"{name} by width"] = np.asarray(by_width)
np.savez(f"{sys.argv[1]}.npz", **resized)
PYTHON
done
13.0.0/bin/python - <<'PYTHON'
import numpy as np

old, new = np.load("12.0.0.npz"), np.load("13.0.0.npz")
apart = {name: np.abs(old[name].astype(int) - new[name]).max() for name in old}
for name, most in apart.items():
    if "by width" not in name:
        print(f"{name}, grey levels apart: most {most}")
    assert (old[name] == old[f"{name.removesuffix(' by width')} by width"]).all(), "12 takes the width first"
assert [most > 2 for name, most in apart.items() if "by width" not in name] == [False, True, False, True]
assert not any(most for name, most in apart.items() if "by width" in name), "one side at a time is the same in both"
PYTHON
