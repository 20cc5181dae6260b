#!/usr/bin/env bash
# litdata==0.2.76 (Pillow 13.0.0)
# Guess: optimize() stores the image that the function returns.
# Behaviour: An image that Pillow opened from a JPEG file is stored as that file's bytes, whatever was done to it. Pillow's
#   in-place methods leave it what it is to litdata, so thumbnail() shrinks it and paste() paints over it, and the file comes
#   back. What methods return as a new image (resize, crop, convert) is stored, as a new JPEG.
# Seen (a JPEG of 640 x 480: what the function returns, what is read from the stored set):
#   thumbnail: returned 64 x 48, read 640 x 480; the file's pixels: True
#   paste: returned 640 x 480, read 640 x 480; the file's pixels: True; grey levels off: mean 29.1
#   resize: returned 64 x 48, read 64 x 48; the file's pixels: False; grey levels off: mean 7.2
# Why it matters: A teacher's embeddings that are computed in the function, from the image that it returns, belong to another image
#   than the student reads: a larger one, or one with the object that was masked. Nothing tells. Return image.copy().
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv venv -q venv
uv pip install -q --python venv/bin/python torch==2.15.0 torchvision==0.29.2 litdata==0.2.76 numpy==2.4.6 pillow==13.0.0
export OMP_NUM_THREADS=1
cat > stored.py <<'PYTHON'
import numpy as np
from litdata import StreamingDataset, optimize
from PIL import Image

METHODS = {
    "thumbnail": lambda image: image.thumbnail((64, 64)) or image,
    "paste": lambda image: image.paste((0, 0, 0), (160, 120, 480, 360)) or image,
    "resize": lambda image: image.resize((64, 48)),
}


def changed(method):
    return {"method": method, "image": METHODS[method](Image.open("photo.jpg"))}


if __name__ == "__main__":
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8))
    noise.resize((640, 480), Image.Resampling.BICUBIC).save("photo.jpg")
    photo = np.asarray(Image.open("photo.jpg"))
    optimize(changed, list(METHODS), "stored", chunk_bytes="64MB", num_workers=1, verbose=False)
    for row in StreamingDataset("stored", shuffle=False):
        method = row["method"]
        returned, read = np.asarray(changed(method)["image"]), row["image"].permute(1, 2, 0).numpy()
        same = read.shape == photo.shape and np.abs(read.astype(int) - photo).max() <= 2
        line = "{}: returned {} x {}, read {} x {}; the file's pixels: {}".format(method, *returned.shape[1::-1], *read.shape[1::-1], same)
        if returned.shape == read.shape:
            line += f"; grey levels off: mean {np.abs(returned.astype(int) - read).mean():.1f}"
        print(line)
        assert same == (method != "resize")
        assert (returned.shape == read.shape) == (method != "thumbnail")
PYTHON
venv/bin/python -W ignore stored.py 2>log | grep "returned"
