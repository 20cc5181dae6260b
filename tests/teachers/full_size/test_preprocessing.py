"""What full-size teachers see of JPEGs of odd sizes: the libraries' own transforms of the published weights, or all of them."""

import json
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib import import_module
from io import BytesIO
from pathlib import Path

import numpy as np
import open_clip
import pytest
import timm
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from PIL.Image import Resampling
from transformers import BlipImageProcessor

import teachers
from bench.data.split import Split
from teachers import WeightsError, prepare
from tests.breadth import some
from tests.teachers.full_size.checkpoints import FILE, pretrained, saved, state_of

SIZES = [
    (640, 480),
    (500, 334),
    (427, 640),
    (333, 501),
    (224, 224),
    (248, 300),
    (64, 64),
    (97, 31),
    (51, 640),
    (300, 1023),
]
NAMES = ["dino", "beit", "clip", "blip", "efficientnet"]
EACH = [(name, source) for name in NAMES for source in ("files", "tensors")]


def jpeg(size: tuple[int, int]) -> BytesIO:
    """Coarse and fine noise of full contrast: what a resize overshoots on."""
    return BytesIO(jpeg_bytes(size))


@cache
def jpeg_bytes(size: tuple[int, int]) -> bytes:
    generator = np.random.default_rng(size[0])
    coarse = Image.fromarray(255 * generator.integers(0, 2, (9, 7, 3), dtype=np.uint8)).resize(size, Resampling.NEAREST)
    fine = Image.fromarray(255 * generator.integers(0, 2, (size[1], size[0], 3), dtype=np.uint8))
    file = BytesIO()
    Image.blend(coarse, fine, 0.5).save(file, "JPEG", quality=95)
    return file.getvalue()


def theirs_of(name: str):
    """The transform of a PIL image that the library of teacher ``name`` has for its published weights."""
    if name == "blip":
        # The defaults are those of Salesforce's preprocessor_config.json, which the loader compares with the teacher.
        return lambda picture: BlipImageProcessor()(picture, return_tensors="pt").pixel_values[0]
    if name == "clip":
        config = open_clip.get_pretrained_cfg("ViT-B-32-quickgelu", "openai")
        kept = {key: config[key] for key in ("mean", "std", "interpolation", "resize_mode")}
        return image_transform_v2(PreprocessCfg(size=224, **kept), is_train=False)
    full = import_module(f"teachers.{name}").FULL
    config = timm.data.resolve_data_config({}, pretrained_cfg=timm.get_pretrained_cfg(full).to_dict())
    return timm.data.create_transform(**config)


def transform_of(name: str, geometry: str = "published") -> dict:
    with torch.device("meta"):
        return teachers.load(name, "random", geometry).transform


def levels(inputs: torch.Tensor, transform: dict) -> torch.Tensor:
    """A model's inputs as grey levels."""
    mean, std = torch.tensor([transform["mean"], transform["std"]]).view(2, 3, 1, 1)
    return (inputs * std + mean) * 255


def seen(file: BytesIO, source: str, transform: dict, folder: Path) -> torch.Tensor:
    """What a teacher sees of a JPEG, as grey levels: read from a prepared set's file, or given as a tensor."""
    pixels = torch.from_numpy(np.array(Image.open(file))).permute(2, 0, 1)[None]
    if source == "files":
        (folder / "a.jpg").write_bytes(file.getvalue())
        with ThreadPoolExecutor(1) as threads:
            pixels = Split(pixels, files=(folder / "a.jpg",)).view([0], transform, threads)
    return levels(prepare(pixels, **transform)[0], transform)


@pytest.mark.parametrize(("name", "source"), some(EACH, [("blip", "files"), ("clip", "files"), ("dino", "tensors")]))
def test_a_teacher_sees_what_its_library_makes_of_a_picture(name, source, tmp_path):
    transform, library = transform_of(name), theirs_of(name)
    # Pillow's bits, where the library resizes with Pillow; two levels where either resizes a tensor.
    limit = 0.01 if source == "files" and name != "blip" else 2.01
    for size in SIZES:
        ours, theirs = seen(jpeg(size), source, transform, tmp_path), levels(library(Image.open(jpeg(size))), transform)
        assert ours.shape == theirs.shape and (ours - theirs).abs().max() < limit, size


@pytest.mark.parametrize(("name", "source"), some(EACH, [("beit", "files"), ("clip", "tensors")]))
def test_squash_shows_a_teacher_all_of_a_picture(name, source, tmp_path):
    transform = transform_of(name, "squash")
    assert transform == transform_of(name) | {"short_side": None}
    side, limit = transform["size"], 0.01 if source == "files" else 2.01
    for size in SIZES:
        # Pillow, made to take the width first.
        theirs = (
            Image.open(jpeg(size)).resize((side, size[1]), Resampling.BICUBIC).resize((side, side), Resampling.BICUBIC)
        )
        difference = seen(jpeg(size), source, transform, tmp_path) - torch.from_numpy(np.array(theirs)).permute(2, 0, 1)
        assert difference.abs().max() < limit, size


def test_a_config_beside_dino_that_was_evaluated_otherwise_is_refused(small, tmp_path):
    file = saved(state_of("dino"), tmp_path / FILE["dino"])
    config = timm.get_pretrained_cfg("vit_base_patch16_224.dino").to_dict()
    (tmp_path / "config.json").write_text(json.dumps({"pretrained_cfg": config | {"crop_pct": 1.0}}))
    with pytest.raises(WeightsError, match=r"says crop_pct 1\.0, but this teacher uses 0\.9"):
        pretrained("dino", file)
