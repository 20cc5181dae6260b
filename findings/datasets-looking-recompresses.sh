#!/usr/bin/env bash
# datasets==5.2.0 (Pillow 13.0.0)
# Guess: map with a function that only looks at a picture, say to add its width as a column, leaves the stored bytes
#   as they are.
# Behaviour: Pictures that are stored as bytes in the table (as in the hub's Parquet files) are written anew as JPEG
#   of Pillow's quality 75 as soon as the function touches row["image"], even if it returns the width alone; each
#   further map does it again. Functions that touch other columns, and filter, leave the bytes alone.
# Seen:
#   the JPEG as it was written            43748 bytes
#   a column that needs no picture        43748 bytes, the same; grey levels off: mean 0.00, most 0
#   returns the width alone               14045 bytes, others; grey levels off: mean 3.54, most 27
#   adds the width to its row             14045 bytes, others; grey levels off: mean 3.54, most 27
#   the same, twice                       14039 bytes, others; grey levels off: mean 4.21, most 34
#   decode=False, returns the width       43748 bytes, the same; grey levels off: mean 0.00, most 0
#   filter by width                       43748 bytes, the same; grey levels off: mean 0.00, most 0
# Why it matters: A data set that was mapped once has other pixels than its original (here a third of the bytes, up
#   to 27 grey levels): teacher outputs that were stored before the map do not belong to what the student then
#   reads, and two copies of the same data set give other accuracies. Cast to Image(decode=False) before map, which
#   is right here, and hash the bytes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv venv -q venv
uv pip install -q --python venv/bin/python datasets==5.2.0 pillow==13.0.0 numpy==2.4.6 pyarrow==26.0.1
export OMP_NUM_THREADS=1 HF_HOME="$folder/hf" HF_HUB_OFFLINE=1 HF_DATASETS_DISABLE_PROGRESS_BARS=1
venv/bin/python -W ignore - <<'PYTHON'
import io

import numpy as np
from datasets import Dataset, Features
from datasets import Image as ImageFeature
from PIL import Image

draw = np.random.default_rng(0)
coarse = Image.fromarray(draw.integers(0, 256, (24, 32, 3), dtype=np.uint8)).resize((320, 240), Image.Resampling.BICUBIC)
buffer = io.BytesIO()
coarse.save(buffer, "JPEG", quality=95, subsampling=0)
original = buffer.getvalue()
# As a data set of the hub has its pictures: bytes inside a table.
pictures = Dataset.from_dict({"image": [{"bytes": original, "path": None}]}, features=Features({"image": ImageFeature()}))


def stored(data):
    return data.cast_column("image", ImageFeature(decode=False))[0]["image"]["bytes"]


def pixels(data):
    return np.asarray(data[0]["image"]).astype(int)


def told(name, data):
    same = stored(data) == original
    off = np.abs(pixels(data) - pixels(pictures))
    print(f"{name:36s} {len(stored(data)):6d} bytes, {'the same' if same else 'others'}; grey levels off: mean {off.mean():.2f}, most {off.max()}")
    return same, off.max()


def wide(row):
    return {"width": Image.open(io.BytesIO(row["image"]["bytes"])).width}


def looking(row):
    row["width"] = row["image"].width
    return row


print(f"{'the JPEG as it was written':36s} {len(original):6d} bytes")
results = {
    "a column that needs no picture": pictures.map(lambda row: {"number": 1}),
    "returns the width alone": pictures.map(lambda row: {"width": row["image"].width}),
    "adds the width to its row": pictures.map(looking),
    "the same, twice": pictures.map(looking).map(looking),
    "decode=False, returns the width": pictures.cast_column("image", ImageFeature(decode=False)).map(wide).cast_column("image", ImageFeature()),
    "filter by width": pictures.filter(lambda row: row["image"].width > 1),
}
seen = {name: told(name, data) for name, data in results.items()}
assert seen["a column that needs no picture"] == (True, 0)
assert seen["decode=False, returns the width"] == (True, 0)
assert seen["filter by width"] == (True, 0)
for name in ("returns the width alone", "adds the width to its row"):
    assert not seen[name][0] and seen[name][1] > 10, name
PYTHON
