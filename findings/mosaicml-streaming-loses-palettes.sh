#!/usr/bin/env bash
# mosaicml-streaming==0.13.0 (pillow 13.0.0, torch 2.15.0)
# Guess: A column "pil" of an MDS data set gives back the picture that was written; it is the encoding without loss.
# Behaviour: The mode, the size and the raw bytes are stored, not the palette. A picture with a palette, as many PNGs and all GIFs are,
#   comes back in mode "P" with an empty one, and convert("RGB") makes it black. Modes without a palette are exact; the column "png" keeps
#   it. No issue on it was found.
# Seen (a picture of 64 x 64 px with 64 colours; mode that comes back, mean difference of its RGB pixels in grey levels, distinct colours):
#   RGB in "pil":                 RGB, 0.0, 4096 of 4096
#   a palette in "pil":           P, 127.0, 1 of 64; black
#   a palette in "png":           P, 0.0, 64 of 64
#   flag of Italy, and of France: equal to the byte
# Why it matters: convert("RGB") of what comes back works as ever, so a data set with some PNGs among its JPEGs trains on black images
#   there, while the teacher's embeddings that were made from the files belong to pictures. Convert to RGB before write().
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv venv -q venv
uv pip install -q --python venv/bin/python torch==2.15.0 torchvision==0.29.2 numpy==2.1.3 pillow==13.0.0 mosaicml-streaming==0.13.0
export OMP_NUM_THREADS=1
venv/bin/python -W ignore - 2>log <<'PYTHON'
import tempfile

import numpy as np
from PIL import Image
from streaming import MDSWriter, StreamingDataset

rows, columns = np.mgrid[:64, :64]
colours = Image.fromarray(np.stack([columns * 4, rows * 4, 255 - 2 * columns - 2 * rows], axis=2).astype(np.uint8))


def through(picture, kind):
    """The picture as an MDS data set gives it back, stored in a column of this kind."""
    with tempfile.TemporaryDirectory() as folder:
        with MDSWriter(out=folder, columns={"image": kind}) as writer:
            writer.write({"image": picture})
        return StreamingDataset(local=folder, batch_size=1)[0]["image"]


def judge(title, picture, kind):
    back = through(picture, kind)
    given, pixels = (np.asarray(one.convert("RGB")).astype(int) for one in (picture, back))
    difference, black = np.abs(given - pixels).mean(), bool((pixels == 0).all())
    before, after = (len(np.unique(one.reshape(-1, 3), axis=0)) for one in (given, pixels))
    print(f"{title + ':':29} {back.mode}, {difference:.1f}, {after} of {before}" + ("; black" if black else ""))
    return difference, black


def flag(colours):
    """Three stripes with a palette of three colours."""
    picture = Image.fromarray(np.repeat(np.arange(3, dtype=np.uint8), 20)[None].repeat(40, axis=0))
    picture.putpalette(sum(colours, []))
    return picture


palette = colours.quantize(64)
assert judge('RGB in "pil"', colours, "pil") == (0, False)
difference, black = judge('a palette in "pil"', palette, "pil")
assert judge('a palette in "png"', palette, "png") == (0, False)
italy, france = flag([[0, 146, 70], [255, 255, 255], [206, 43, 55]]), flag([[0, 38, 84], [255, 255, 255], [206, 17, 38]])
equal = through(italy, "pil").convert("RGB").tobytes() == through(france, "pil").convert("RGB").tobytes()
print(f"{'flag of Italy, and of France:':29} {'equal to the byte' if equal else 'different'}")
assert difference > 50 and black and equal and italy.convert("RGB").tobytes() != france.convert("RGB").tobytes()
PYTHON
