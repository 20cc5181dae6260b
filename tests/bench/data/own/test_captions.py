"""Files of captions, as people have them."""

import json

import pytest

from bench.data import own
from bench.data.own import captions, folder
from bench.declared import Images
from bench.kit.errors import UserError

NAMES = ("a.jpg", "sub/b.jpg", "sub/c.jpg")
WANTED = {"a.jpg": ["one, two", "three"], "sub/b.jpg": ["four five"]}
COCO = {
    "images": [{"id": 7, "file_name": "a.jpg"}, {"id": 8, "file_name": "b.jpg"}, {"id": 9, "file_name": "gone.jpg"}],
    "annotations": [
        {"image_id": 7, "caption": "one, two"}, {"image_id": 8, "caption": "four  five\n"},
        {"image_id": 9, "caption": "of another"}, {"image_id": 7, "caption": "three"},
    ],
}  # fmt: skip
FILES = {
    "c.csv": 'file,caption\na.jpg,"one, two"\na.jpg,three\nsub/b.jpg,four five\ngone.jpg,of another\n',
    "flickr.csv": "image_name| comment_number| comment\na.jpg| 0| one, two\na.jpg| 1| three\nb.jpg| 0| four five\ngone.jpg| 0|x\n",
    "excel.csv": "\ufefftitle;filepath\none, two;./a.jpg\nthree;a.jpg\nfour five;sub\\b.jpg\nx;gone.jpg\n",
    "t.tsv": "filename\ttext\na.jpg\tone, two\na.jpg\tthree\nb.jpg\tfour  five\ngone.jpg\tx\n",
    "l.jsonl": '{"file_name": "a.jpg", "text": ["one, two", "three"]}\n\n{"file_name": "sub/b.jpg", "text": "four five"}\n'
    '{"file_name": "gone.jpg", "text": "x"}\n',
    "coco.json": json.dumps(COCO),
    "list.json": json.dumps(
        [{"image": "a.jpg", "caption": ["one, two", "three"]}, {"image": "b.jpg", "caption": "four five"}, {"image": "x", "caption": "x"}]
    ),
    "karpathy.json": json.dumps([{"filename": "a.jpg", "sentences": [{"raw": "one, two"}, {"raw": "three"}]},
        {"filename": "b.jpg", "sentences": [{"raw": "four five"}]}, {"filename": "x.jpg", "sentences": [{"raw": "x"}]}]),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_captions_are_read_from(tmp_path, name):
    (tmp_path / name).write_text(FILES[name], encoding="utf-8")
    read = captions.read(str(tmp_path / name), NAMES)
    assert (read.of, read.missing) == (WANTED, 1)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("c.csv", "picture,words\na.jpg,b\n", "no column of files: expected file, file_name, .* got picture, words"),
        ("c.csv", "file,words\na.jpg,b\n", "no column of captions"),
        ("c.csv", "file,caption\nz.jpg,b\n", r"names none of the 3 images .* it has 1 captions, the first is 'z.jpg'"),
        ("c.jsonl", '{"file": "a.jpg"\n', "no file of captions that can be read .*JSONDecodeError"),
        ("c.json", '{"images": []}', r"no file of captions that can be read .*annotations"),
        ("c.txt", "", "captions are read from .csv, .*, not from '.txt'"),
    ],
)
def test_what_is_no_file_of_captions_is_refused(tmp_path, name, content, says):
    (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=says):
        captions.read(str(tmp_path / name), NAMES)
    with pytest.raises(UserError, match="there is no such file of captions"):
        captions.read(str(tmp_path / "none.csv"), NAMES)


def test_images_without_captions_are_left_out_and_counted(tmp_path):
    own.forget()
    images = tmp_path / "images"
    for number in range(60):
        (images / f"{number}.jpg").parent.mkdir(exist_ok=True)
        (images / f"{number}.jpg").touch()
    file = tmp_path / "c.csv"
    file.write_text(
        "file,caption\n" + "".join(f"{number}.jpg,number {number}\n" for number in range(70) if number != 5)
    )
    declared = Images(str(images), captions=str(file))
    assert own.kind(declared) == "captions"
    index = folder.index(declared)
    assert index.left_out == {"no captions": 1, "captions of images that are not there": 10}
    for split, files in index.files.items():
        assert index.captions[split] == [[f"number {name.removesuffix('.jpg')}"] for name in files]
    assert index.files.keys() == {"train", "test"} and sum(map(len, index.files.values())) == 59
