#!/usr/bin/env bash
# cleanvision==0.3.7 (Pillow 13.0.0)
# Guess: Imagelab compares and judges what pictures look like: equal pixels are exact duplicates, other colours are not, and a dark
#   image is dark. How a PNG or GIF stores its colours does not matter.
# Behaviour: Images are not converted. The exact duplicates' hash and the brightness are computed from numpy.asarray(image), which for
#   a picture with a palette is its indices: other colours at the same places are an exact duplicate, the same picture in RGB is none,
#   and low indices are dark. Nothing is logged; no documentation or issue on it was found.
# Seen (the flags of five countries, three stripes each, saved with a palette and as RGB):
#   exact duplicates: belgium-palette, france-palette, ireland-palette, italy-palette, romania-palette
#   dark: belgium-palette, france-palette, ireland-palette, italy-palette, romania-palette
# Why it matters: Whoever removes exact duplicates from icons, charts, maps or drawn images loses other classes' pictures, keeps the
#   copies between training and test set, and discards bright images as dark. Save as RGB first.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv venv -q venv
uv pip install -q --python venv/bin/python numpy==2.4.6 pillow==13.0.0 cleanvision==0.3.7
export OMP_NUM_THREADS=1 MPLBACKEND=Agg HF_HUB_OFFLINE=1
venv/bin/python -W ignore - 2>log <<'PYTHON'
import contextlib
import pathlib

from cleanvision import Imagelab
from PIL import Image, ImageColor

FLAGS = {
    "belgium": ("#000000", "#fae042", "#ed2939"),
    "france": ("#0055a4", "#ffffff", "#ef4135"),
    "ireland": ("#169b62", "#ffffff", "#ff883e"),
    "italy": ("#009246", "#ffffff", "#ce2b37"),
    "romania": ("#002b7f", "#fcd116", "#ce1126"),
}
folder = pathlib.Path("flags")
folder.mkdir()
for country, colours in FLAGS.items():
    flag = Image.new("P", (90, 60))
    flag.putpalette([value for colour in colours for value in ImageColor.getrgb(colour)])
    flag.putdata([column // 30 for _ in range(60) for column in range(90)])
    flag.save(folder / f"{country}-palette.png")
    flag.convert("RGB").save(folder / f"{country}-rgb.png")
    with Image.open(folder / f"{country}-palette.png") as one, Image.open(folder / f"{country}-rgb.png") as two:
        assert one.mode == "P" and two.mode == "RGB" and one.convert("RGB").tobytes() == two.tobytes()

with open("report", "w") as report, contextlib.redirect_stdout(report):
    lab = Imagelab(data_path="flags")
    lab.find_issues({"exact_duplicates": {}, "dark": {}}, n_jobs=1, verbose=False)
sets = [sorted(pathlib.Path(name).stem for name in names) for names in lab.info["exact_duplicates"]["sets"]]
dark = sorted(pathlib.Path(name).stem for name in lab.issues.index[lab.issues["is_dark_issue"]])
print("exact duplicates:", "; ".join(", ".join(names) for names in sets))
print("dark:", ", ".join(dark))
assert sets == [[f"{country}-palette" for country in FLAGS]] and dark == sets[0]
PYTHON
