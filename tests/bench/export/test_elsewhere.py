"""An export where this suite is not: what timm, PyTorch and ONNX Runtime alone make of its files."""

import json

import onnxruntime
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import load_file
from timm.data import create_transform, resolve_model_data_config
from torch.nn.functional import linear, normalize

from bench import export
from bench.export import alone
from bench.kit.errors import UserError
from bench.kit.files import unseal
from bench.results import record
from tests.bench.export.three import HEAD, TIMM, TOKENS, pictures


@pytest.fixture(scope="module")
def folder(exports):
    """Of the student of timm, which has a classifier."""
    return exports[TIMM]


@pytest.fixture(scope="module")
def split(cases):
    return pictures(export.named(cases, TIMM))


def test_timm_alone_makes_the_trunk_of_the_folder_and_prepares_its_pictures(folder):
    trunk = timm.create_model(f"local-dir:{folder / 'timm'}", pretrained=True, num_classes=0).eval()
    facts = resolve_model_data_config(trunk)
    own = timm.get_pretrained_cfg("test_vit.r160_in1k")
    assert facts["input_size"] == (3, 48, 48) and (*facts["mean"], *facts["std"]) == (*own.mean, *own.std)
    assert (facts["crop_pct"], facts["crop_mode"], facts["interpolation"]) == (1.0, "squash", "bicubic")
    prepare = create_transform(**facts)
    head = torch.nn.Sequential(torch.nn.Linear(64, 8), torch.nn.ReLU(), torch.nn.Linear(8, 16))
    head.load_state_dict(load_file(folder / "head.safetensors"))
    pixels = torch.randint(0, 256, (5, 3, 48, 48), generator=torch.Generator().manual_seed(5), dtype=torch.uint8)
    pictures = [Image.fromarray(image.permute(1, 2, 0).numpy()) for image in pixels]
    with torch.no_grad():
        embeddings = normalize(head(trunk(torch.stack([prepare(picture) for picture in pictures]))))
    torch.testing.assert_close(embeddings, export.load(folder).image(pixels), atol=1e-5, rtol=0)


def test_the_folder_is_a_classifier_of_the_datas_classes(folder, split):
    model = timm.create_model(f"local-dir:{folder / 'timm'}", pretrained=True).eval()
    names = model.pretrained_cfg["label_names"]
    assert names == list(split.classes) == [*unseal((folder / "config.json").read_text())["classifier"]["classes"]]
    prepare = create_transform(**resolve_model_data_config(model))  # of 32 px to 48 px
    pixels = [prepare(Image.fromarray(image.permute(1, 2, 0).numpy())) for image in split.pixels]
    with torch.no_grad():
        best = model(torch.stack(pixels)).argmax(dim=1)
    top1 = unseal((folder / "config.json").read_text())["timm_classifier"]["top1"]
    assert 100 * (best == split.labels).double().mean().item() == pytest.approx(top1, abs=1.5)  # one picture of 70
    assert timm.create_model(f"local-dir:{folder / 'timm'}", pretrained=True, num_classes=7).num_classes == 7
    assert {*json.loads((folder / "timm" / "config.json").read_text())} == {
        "architecture", "num_classes", "num_features", "pretrained_cfg", "model_args", "label_names",
    }  # fmt: skip


def test_the_classifier_on_the_embeddings_is_the_records_probe(folder, results, split):
    tensors, stated = load_file(folder / "classifier.safetensors"), unseal((folder / "config.json").read_text())
    best = linear(export.load(folder).image(split.pixels), tensors["weight"], tensors["bias"]).argmax(dim=1)
    top1 = 100 * (best == split.labels).double().mean().item()
    assert top1 == pytest.approx(stated["classifier"]["top1"])
    assert top1 == pytest.approx(record.load(results, TIMM).metrics["probe_top1"], abs=1.5)


@pytest.mark.parametrize("count", [1, 6])
def test_the_graph_gives_embeddings_and_logits_of_any_batch_and_states_its_input(folder, count):
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    [given] = session.get_inputs()
    assert (given.name, given.type, given.shape) == ("pixels", "tensor(uint8)", ["batch", 3, 48, 48])
    pixels = torch.randint(0, 256, (count, 3, 48, 48), generator=torch.Generator().manual_seed(3), dtype=torch.uint8)
    embeddings, logits = map(torch.from_numpy, session.run(["embeddings", "logits"], {"pixels": pixels.numpy()}))
    torch.testing.assert_close(embeddings, export.load(folder).image(pixels), atol=1e-4, rtol=0)
    tensors = load_file(folder / "classifier.safetensors")
    torch.testing.assert_close(logits, linear(embeddings, tensors["weight"], tensors["bias"]), atol=1e-4, rtol=1e-4)


def test_a_head_has_a_classifier_too_and_what_has_no_labels_has_none(cases, results, tmp_path):
    files = export.export(export.named(cases, HEAD), results, tmp_path / "head", classify=True)
    parts = ["README.md", "classifier.safetensors", "config.json", "model.safetensors"]
    assert [file.name for file in files] == [".eval_results", *parts]
    stated = unseal((tmp_path / "head" / "config.json").read_text())
    probe = record.load(results, HEAD).metrics["probe_top1"]
    assert stated["classifier"]["top1"] == pytest.approx(probe, abs=1.5) and stated["alone"] is None
    with pytest.raises(UserError, match="--classifier: scenes has no labels"):
        export.export(export.named(cases, TOKENS), results, tmp_path / "captions", classify=True)


@pytest.mark.parametrize(
    ("source", "more"),
    [
        ("from students import Dims, FromPixels\nimport timm\n", None),
        ("from students import Student\n", "students.Student"),
        ("def image_tower(dims):\n    from students.resnet import image_tower\n", "students.resnet"),
        ("import bench.data\n", "bench.data"),
    ],
)
def test_a_student_that_needs_more_of_the_checkout_has_no_file_of_its_own(source, more):
    assert alone._needs(source) == more
