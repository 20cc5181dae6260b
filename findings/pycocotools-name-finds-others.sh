#!/usr/bin/env bash
# pycocotools==2.0.11
# Guess: getCatIds(catNms="teddy bear") gives the category of that name; a list of pictures that is empty has no
#   annotations; getImgIds(catIds=[a, b]) gives pictures with either.
# Behaviour: A plain string is searched for categories whose name is part of it: "teddy bear" gives bear too, "hot
#   dog" dog, "carrot" car. Pictures must show all of several categories, not one of them. An empty list of pictures
#   gives the annotations of all.
# Seen:
#   getCatIds(catNms='carrot') gives ['car', 'carrot']
#   getCatIds(catNms='hot dog') gives ['dog', 'hot dog']
#   getCatIds(catNms='teddy bear') gives ['bear', 'teddy bear']
#   getCatIds(catNms=[name]) gives the one category for all 80 names
#   pictures of a bear: [22], of bears or persons: []
#   annotations of a list of 0 pictures: 80
# Why it matters: Concept labels for zero-shot tests and per-class subsets of COCO are made this way: those of three
#   classes are mixed with another's, a union becomes an intersection, a batch of pictures left empty by a filter
#   becomes the whole set. Pass lists, and test for emptiness.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv venv -q venv
uv pip install -q --python venv/bin/python pycocotools==2.0.11 numpy==2.4.6
export OMP_NUM_THREADS=1
venv/bin/python -W ignore - <<'PYTHON'
import contextlib
import io

from pycocotools.coco import COCO

NAMES = """person,bicycle,car,motorcycle,airplane,bus,train,truck,boat,traffic light,fire hydrant,stop sign,parking meter,bench,bird,cat,dog,
horse,sheep,cow,elephant,bear,zebra,giraffe,backpack,umbrella,handbag,tie,suitcase,frisbee,skis,snowboard,sports ball,kite,
baseball bat,baseball glove,skateboard,surfboard,tennis racket,bottle,wine glass,cup,fork,knife,spoon,bowl,banana,apple,sandwich,
orange,broccoli,carrot,hot dog,pizza,donut,cake,chair,couch,potted plant,bed,dining table,toilet,tv,laptop,mouse,remote,keyboard,
cell phone,microwave,oven,toaster,sink,refrigerator,book,clock,vase,scissors,teddy bear,hair drier,toothbrush"""
names = [name.strip() for name in NAMES.replace("\n", "").split(",")]
coco = COCO()
coco.dataset = {
    "images": [{"id": number} for number in range(1, 81)],
    "categories": [{"id": number, "name": name, "supercategory": "thing"} for number, name in enumerate(names, 1)],
    "annotations": [{"id": number, "image_id": number, "category_id": number, "area": 1, "iscrowd": 0} for number in range(1, 81)],
}
with contextlib.redirect_stdout(io.StringIO()):
    coco.createIndex()


def found(query):
    return [entry["name"] for entry in coco.loadCats(coco.getCatIds(catNms=query))]


wrong = {name: found(name) for name in names if found(name) != [name]}
for name, several in wrong.items():
    print(f"getCatIds(catNms={name!r}) gives {several}")
assert all(found([name]) == [name] for name in names)
print("getCatIds(catNms=[name]) gives the one category for all 80 names")

bear, person = coco.getCatIds(catNms=["bear"]), coco.getCatIds(catNms=["person"])
print(f"pictures of a bear: {coco.getImgIds(catIds=bear)}, of bears or persons: {coco.getImgIds(catIds=bear + person)}")
none = [number for number in coco.getImgIds(catIds=bear) if number > 50]
print(f"annotations of a list of {len(none)} pictures: {len(coco.getAnnIds(imgIds=none))}")

assert wrong["teddy bear"] == ["bear", "teddy bear"] and wrong["carrot"] == ["car", "carrot"] and wrong["hot dog"] == ["dog", "hot dog"]
assert coco.getImgIds(catIds=bear + person) == [] and len(coco.getAnnIds(imgIds=none)) == 80
PYTHON
