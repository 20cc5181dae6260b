"""The loaders of full-size teachers: what they find, what they refuse, and whether they say what their library says.

Finding and refusing is tested with checkpoints that the libraries themselves make, of small configurations where
that is enough; the numbers with random weights of full size. Nothing here needs a connection.
"""

import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from pathlib import Path

import open_clip
import pytest
import timm
import torch
import torch.nn.functional as F
from huggingface_hub import constants
from open_clip.model import CLIP
from safetensors.torch import load_file, save_file
from torchvision.transforms import CenterCrop, InterpolationMode, Normalize, Resize
from torchvision.transforms.functional import to_pil_image
from transformers import (
    BertTokenizer,
    BlipConfig,
    BlipForConditionalGeneration,
    BlipForImageTextRetrieval,
    BlipModel,
    BlipVisionModel,
    ViTConfig,
    ViTModel,
)

import teachers
from teachers import Weights, WeightsError, prepare
from teachers.blip import FusedAttention

CAPTIONS = ["a dog", "two cats on the red mat of a house that stands by the sea", "the mat"]
COMMIT = "0123456789abcdef0123456789abcdef01234567"
SMALL = {"img_size": 32, "patch_size": 8, "embed_dim": 32, "depth": 2, "num_heads": 4}


def small_dino():
    return timm.create_model("vit_base_patch16_224.dino", num_classes=0, **SMALL)


def small_beit(classes: int = 0):
    return timm.create_model("beit_base_patch16_224.in22k_ft_in22k", num_classes=classes, **SMALL)


def small_clip(quick_gelu: bool = True):
    image = {"layers": 2, "width": 32, "head_width": 8, "patch_size": 8, "image_size": 32}
    text = {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 4, "layers": 2}
    return CLIP(16, image, text, quick_gelu=quick_gelu)


BLIP = BlipConfig(
    vision_config={
        "hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 4, "num_hidden_layers": 3,
        "image_size": 32, "patch_size": 8, "initializer_range": 0.2,
    },
    text_config={
        "hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 4, "num_hidden_layers": 2,
        "encoder_hidden_size": 32, "vocab_size": 40, "bos_token_id": 4, "sep_token_id": 3, "initializer_range": 0.2,
    },
    image_text_hidden_size=16,
)  # fmt: skip
SMALL_BUILDERS = {"dino": small_dino, "beit": small_beit, "clip": small_clip}
FILE = {"dino": "model.safetensors", "beit": "model.safetensors", "clip": "open_clip_model.safetensors"}


@pytest.fixture
def small(monkeypatch):
    """Makes the loaders of dino, beit and clip build small models; the way to the weights is that of full size."""
    for name, build in SMALL_BUILDERS.items():
        monkeypatch.setattr(import_module(f"teachers.{name}"), "build_full", build)


@pytest.fixture
def tokens(tmp_path) -> Path:
    """A folder with a BERT tokenizer of a few words, as ``save_pretrained`` leaves it."""
    folder = tmp_path / "blip"
    folder.mkdir()
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *sorted(set(" ".join(CAPTIONS).split()))]
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    BertTokenizer(vocab=str(tmp_path / "vocab.txt")).save_pretrained(folder)
    return folder


@pytest.fixture
def retrieval(tokens) -> Path:
    """A good checkpoint of blip."""
    BlipForImageTextRetrieval(BLIP).save_pretrained(tokens)
    return tokens


def state_of(name: str) -> dict[str, torch.Tensor]:
    """A small checkpoint whose values no builder gives."""
    return {key: tensor.detach() * 1.5 + 0.1 for key, tensor in SMALL_BUILDERS[name]().state_dict().items()}


def saved(state: dict, file: Path) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.suffix == ".safetensors":
        save_file({key: tensor.contiguous().clone() for key, tensor in state.items()}, file)
    else:
        torch.save(state, file)
    return file


def pretrained(name: str, path: Path):
    return teachers.load(name, Weights("pretrained", path=path))


# What is asked for


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"kind": "pretrianed"}, "'pretrianed' is not one of pocket, untrained, pretrained, random"),
        ({"kind": "random", "trained_on": "tiny-imagenet"}, "for pocket weights, not for random ones"),
        ({"kind": "pocket", "path": Path("x")}, "for pretrained weights, not for pocket ones"),
        ({"kind": "random", "revision": "main"}, "for pretrained weights, not for random ones"),
        ({"kind": "pretrained", "path": Path("x"), "revision": "main"}, "not from both"),
    ],
)
def test_weights_that_contradict_themselves_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        Weights(**wrong)


@pytest.mark.parametrize("name", ["dino", "beit"])
def test_pocket_teachers_of_real_images_have_files_of_their_own(name, tmp_path, monkeypatch):
    monkeypatch.setattr(teachers, "POCKET", tmp_path)
    weights = Weights("pocket", trained_on="tiny-imagenet")
    with pytest.raises(FileNotFoundError, match=f"train {name} --dataset tiny-imagenet"):
        teachers.load(name, weights)
    model = import_module(f"teachers.{name}").build_pocket(64)
    saved(model.state_dict(), tmp_path / f"{name}-tiny-imagenet.safetensors")
    teacher = teachers.load(name, weights)
    assert teacher.size == teacher.transform["size"] == 64
    assert teacher.provenance["file"] == f"{name}-tiny-imagenet.safetensors"


@pytest.mark.parametrize("name", ["clip", "blip"])
def test_there_are_no_pocket_teachers_of_real_captions(name):
    with pytest.raises(ValueError, match=f"teacher {name} has no pocket weights trained on 'tiny-imagenet'"):
        teachers.load(name, Weights("pocket", trained_on="tiny-imagenet"))


# Local checkpoints: what is accepted


@pytest.mark.parametrize("name", SMALL_BUILDERS)
@pytest.mark.parametrize("form", ["file", "folder", "half", "pickle"])
def test_a_checkpoint_of_the_same_library_fills_the_teacher(name, form, small, tmp_path):
    state = state_of(name)
    given = {key: value.half() for key, value in state.items()} if form == "half" else state
    file = saved(given, tmp_path / ("weights.pth" if form == "pickle" else FILE[name]))
    teacher = pretrained(name, tmp_path if form == "folder" else file)
    loaded = teacher.model.state_dict()
    assert loaded.keys() == state.keys()
    assert all(torch.equal(loaded[key], given[key].float()) for key in state)
    assert teacher.provenance["source"] == "local path" and teacher.provenance["file"] == file.name
    assert teacher.provenance["revision"] is None


def test_a_retrieval_checkpoint_fills_blip_and_brings_its_tokenizer(retrieval):
    teacher = pretrained("blip", retrieval)
    wanted = load_file(retrieval / "model.safetensors")
    loaded = teacher.model.state_dict()
    assert loaded.keys() == wanted.keys() and all(torch.equal(loaded[key], wanted[key]) for key in wanted)
    ids, mask = teacher.tokenize(["a dog", "the"])
    assert ids.shape == (2, 4) and ids[0, 0] == 2 and ids[0, -1] == 3 and mask.sum(dim=1).tolist() == [4, 3]
    assert teacher.tokenizer["name"] == "BertTokenizer" and len(teacher.tokenizer["digest"]) == 16


def test_beits_own_head_and_old_positions_are_left_out_but_no_other_head(small, tmp_path):
    state = dict(small_beit(classes=21841).state_dict())
    state["blocks.0.attn.relative_position_index"] = torch.zeros(17, 17, dtype=torch.long)
    teacher = pretrained("beit", saved(state, tmp_path / FILE["beit"]))
    assert torch.equal(teacher.model.cls_token, state["cls_token"])
    with pytest.raises(WeightsError, match=r"2 unexpected: head\.bias, head\.weight"):
        pretrained("beit", saved(small_beit(classes=1000).state_dict(), tmp_path / FILE["beit"]))


# Local checkpoints: what is refused


def spoil_missing(state):
    del state[sorted(state)[0]]


def spoil_extra(state):
    state["pooler.dense.weight"] = torch.zeros(3)


def spoil_shape(state):
    state["logit_scale" if "logit_scale" in state else "cls_token"] = torch.zeros(1, 1, 33)


def spoil_nan(state):
    state[max(state)].view(-1)[0] = float("nan")


def spoil_infinite(state):
    state[max(state)].view(-1)[-1] = float("inf")


SPOILS = {
    spoil_missing: "1 missing: ",
    spoil_extra: r"1 unexpected: pooler\.dense\.weight",
    spoil_shape: "1 of another shape: (logit_scale|cls_token)",
    spoil_nan: "1 not finite: ",
    spoil_infinite: "1 not finite: ",
}


@pytest.mark.parametrize("name", SMALL_BUILDERS)
@pytest.mark.parametrize("spoil", SPOILS)
def test_one_wrong_tensor_is_enough_to_refuse(name, spoil, small, tmp_path):
    state = state_of(name)
    spoil(state)
    with pytest.raises(WeightsError, match=SPOILS[spoil]) as refusal:
        pretrained(name, saved(state, tmp_path / FILE[name]))
    assert str(tmp_path / FILE[name]) in str(refusal.value)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda state: state.pop("text_proj.bias"), r"1 missing: text_proj\.bias"),
        (lambda state: state.update(temp=torch.zeros(1)), "1 unexpected: temp"),
        (lambda state: state.update({"itm_head.bias": torch.zeros(3)}), r"1 of another shape: itm_head\.bias"),
        (lambda state: state["vision_proj.bias"].fill_(float("nan")), r"1 not finite: vision_proj\.bias"),
    ],
)
def test_one_wrong_tensor_is_enough_to_refuse_for_blip(spoil, message, retrieval):
    state = load_file(retrieval / "model.safetensors")
    spoil(state)
    save_file(state, retrieval / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(WeightsError, match=message):
        pretrained("blip", retrieval)


@pytest.mark.parametrize("trap", [BlipForConditionalGeneration, BlipModel])
def test_blip_checkpoints_for_other_tasks_are_refused(trap, tokens):
    """BlipModel is the trap of transformers #28034: no published checkpoint fits it."""
    trap(BLIP).save_pretrained(tokens)
    with pytest.raises(WeightsError, match=f"config.json names {trap.__name__}; only BlipForImageTextRetrieval"):
        pretrained("blip", tokens)


def test_dino_has_no_pooler_and_a_checkpoint_that_has_one_is_refused(small, tmp_path):
    """The pooler of transformers' ViTModel is random for DINO's checkpoints; timm's model has no such layer."""
    teacher = pretrained("dino", saved(state_of("dino"), tmp_path / FILE["dino"]))
    assert not [name for name, _ in teacher.named_modules() if "pool" in name]
    config = ViTConfig(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, image_size=32)
    ViTModel(config).save_pretrained(tmp_path / "vit")
    with pytest.raises(WeightsError, match=r"missing: blocks\.0(.|\n)*unexpected: embeddings"):
        pretrained("dino", tmp_path / "vit")


def test_a_supervised_vit_is_no_dino(small, tmp_path):
    model = timm.create_model("vit_base_patch16_224.augreg_in21k", **SMALL)
    with pytest.raises(WeightsError, match=r"2 unexpected: head\.bias, head\.weight"):
        pretrained("dino", saved(model.state_dict(), tmp_path / FILE["dino"]))


def test_a_model_with_dinos_tensors_is_told_by_the_config_beside_it(small, tmp_path):
    file = saved(state_of("dino"), tmp_path / FILE["dino"])
    mae = timm.get_pretrained_cfg("vit_base_patch16_224.mae").to_dict()
    (tmp_path / "config.json").write_text(json.dumps({"pretrained_cfg": mae}))
    with pytest.raises(WeightsError, match=r"config\.json says tag mae, but this teacher uses dino"):
        pretrained("dino", file)


@pytest.mark.parametrize("name", SMALL_BUILDERS)
def test_a_truncated_file_is_refused(name, small, tmp_path):
    file = saved(state_of(name), tmp_path / FILE[name])
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(WeightsError, match=f"{FILE[name]} cannot be read as tensors"):
        pretrained(name, file)


class Bomb:
    """Pickled, it writes a file when it is read without care."""

    def __init__(self, trace: Path):
        self.trace = trace

    def __reduce__(self):
        return Path.write_text, (self.trace, "code ran")


def test_code_in_a_pickle_is_refused_and_does_not_run(small, tmp_path, retrieval):
    (retrieval / "model.safetensors").unlink()
    for name, file in (("dino", tmp_path / "dino.pth"), ("blip", retrieval / "pytorch_model.bin")):
        torch.save({"cls_token": Bomb(tmp_path / "trace")}, file)
        with pytest.raises(WeightsError, match="a pickle of more than tensors"):
            pretrained(name, retrieval if name == "blip" else file)
    assert not (tmp_path / "trace").exists()
    torch.save({"model": {"cls_token": torch.zeros(3)}}, tmp_path / "dino.pth")
    with pytest.raises(WeightsError, match="must hold tensors by name"):
        pretrained("dino", tmp_path / "dino.pth")


def test_a_truncated_blip_is_refused(retrieval):
    file = retrieval / "model.safetensors"
    file.write_bytes(file.read_bytes()[:5000])
    with pytest.raises(WeightsError, match="cannot be read as tensors"):
        pretrained("blip", retrieval)


def test_blip_without_its_tokenizer_is_refused(retrieval):
    """transformers would make up an empty one, to which every word is unknown."""
    (retrieval / "tokenizer.json").unlink()
    with pytest.raises(WeightsError, match=r"there is no file .*tokenizer\.json"):
        pretrained("blip", retrieval)


@pytest.mark.parametrize("name", ["dino", "beit", "clip", "blip"])
def test_a_path_that_is_not_there_is_named(name, small, tmp_path):
    with pytest.raises(WeightsError, match=f"teacher {name}: .*nowhere"):
        pretrained(name, tmp_path / "nowhere")


# Activation and normalisation


def test_every_block_of_clip_must_have_quickgelu(small, tmp_path):
    from teachers.clip import Clip

    model = small_clip()
    model.transformer.resblocks[1].mlp.gelu = torch.nn.GELU()
    with pytest.raises(WeightsError, match="1 of 4 blocks have GELU instead of QuickGELU"):
        Clip(model, None)
    with pytest.raises(WeightsError, match="4 of 4 blocks"):
        Clip(small_clip(quick_gelu=False), None)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"model_cfg": {"embed_dim": 512}}, "says QuickGELU False"),
        ({"preprocess_cfg": {"mean": [0.5, 0.5, 0.5]}}, "says mean"),
        ({"preprocess_cfg": {"resize_mode": "squash"}}, "says resize_mode squash"),
    ],
)
def test_a_config_beside_clip_that_says_otherwise_is_refused(config, message, small, tmp_path):
    file = saved(state_of("clip"), tmp_path / FILE["clip"])
    (tmp_path / "open_clip_config.json").write_text(json.dumps(config))
    with pytest.raises(WeightsError, match=message):
        pretrained("clip", file)


PROCESSOR = {
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
    "resample": 3,
    "size": {"height": 32, "width": 32},
}


@pytest.mark.parametrize(
    "other",
    [{"image_mean": [0.5, 0.5, 0.5]}, {"image_std": [0.5, 0.5, 0.5]}, {"size": {"height": 224, "width": 224}},
     {"size": {"shortest_edge": 32}}, {"size": 16}],
)  # fmt: skip
def test_a_preprocessor_beside_blip_must_do_what_the_teacher_does(other, retrieval):
    file = retrieval / "preprocessor_config.json"
    file.write_text(json.dumps(PROCESSOR))
    assert pretrained("blip", retrieval).transform["size"] == 32
    file.write_text(json.dumps(PROCESSOR | other))
    with pytest.raises(WeightsError, match=f"preprocessor_config.json says {next(iter(other))}"):
        pretrained("blip", retrieval)


# The hub and its cache

REPOSITORY = {
    "dino": "timm/vit_base_patch16_224.dino",
    "beit": "timm/beit_base_patch16_224.in22k_ft_in22k",
    "clip": "timm/vit_base_patch32_clip_224.openai",
    "blip": "Salesforce/blip-itm-base-coco",
}


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    """An empty cache of the hub, in offline mode."""
    folder = tmp_path / "cache"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return folder


def snapshot(cache: Path, name: str) -> Path:
    """The folder of commit COMMIT in the cache, as the hub's library lays it out; ``main`` points to it."""
    repository = cache / f"models--{REPOSITORY[name].replace('/', '--')}"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(COMMIT)
    folder = repository / "snapshots" / COMMIT
    folder.mkdir(parents=True)
    return folder


@pytest.mark.parametrize("name", REPOSITORY)
@pytest.mark.parametrize("revision", [None, "v1"])
def test_what_is_not_cached_and_cannot_be_fetched_says_how_to_get_it(name, revision, small, cache, monkeypatch):
    # Without offline mode, against an address where nothing answers: it must not go on retrying.
    if revision:
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        nowhere(monkeypatch, "http://127.0.0.1:9")
    start = time.perf_counter()
    with pytest.raises(WeightsError) as refusal:
        teachers.load(name, Weights("pretrained", revision=revision))
    assert time.perf_counter() - start < 10, "the library alone retries for 23 s"
    said = str(refusal.value)
    files = {"clip": "open_clip_model.safetensors"}.get(name, "model.safetensors")
    files += " config.json tokenizer.json tokenizer_config.json preprocessor_config.json" if name == "blip" else ""
    assert f"hf download {REPOSITORY[name]} {files}" + (" --revision v1\n" if revision else "\n") in said
    assert f"teachers: {{{name}: {{path: ...}}}}" in said and str(cache) in said


def nowhere(monkeypatch, endpoint: str) -> None:
    """Point the hub's library to another address."""
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    template = endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)


@pytest.mark.parametrize("name", SMALL_BUILDERS)
@pytest.mark.parametrize("revision", [None, COMMIT])
def test_cached_weights_load_offline_and_tell_their_commit(name, revision, small, cache):
    state = state_of(name)
    saved(state, snapshot(cache, name) / FILE[name])
    teacher = teachers.load(name, Weights("pretrained", revision=revision))
    loaded = teacher.model.state_dict()
    assert all(torch.equal(loaded[key], state[key]) for key in state)
    assert teacher.provenance["source"] == REPOSITORY[name] and teacher.provenance["revision"] == COMMIT
    assert teacher.provenance["requested_revision"] == revision
    with pytest.raises(WeightsError, match="--revision ffff"):
        teachers.load(name, Weights("pretrained", revision="ffff" * 10))


def test_cached_blip_needs_all_of_its_files(cache, retrieval):
    folder = snapshot(cache, "blip")
    for file in retrieval.iterdir():
        (folder / file.name).symlink_to(file)
    with pytest.raises(WeightsError, match=r"hf download .*preprocessor_config\.json"):
        teachers.load("blip", "pretrained")
    (folder / "preprocessor_config.json").write_text(json.dumps(PROCESSOR))
    teacher = teachers.load("blip", "pretrained")
    assert teacher.provenance["revision"] == COMMIT and teacher.tokenizer["name"] == "BertTokenizer"


def test_what_the_hub_has_is_fetched_once(small, cache, tmp_path, monkeypatch):
    """Against a small server that speaks as much of the hub's protocol as a download needs."""
    state = state_of("dino")
    file = saved(state, tmp_path / "dino.bin")
    asked = []

    class Hub(BaseHTTPRequestHandler):
        def do_HEAD(self):
            asked.append(self.path)
            there = self.path == f"/{REPOSITORY['dino']}/resolve/v1/pytorch_model.bin"
            self.send_response(200 if there else 404)
            self.send_header("X-Repo-Commit", COMMIT)
            if there:
                self.send_header("ETag", '"abc"')
                self.send_header("Content-Length", str(file.stat().st_size))
            else:
                self.send_header("X-Error-Code", "EntryNotFound")
            self.end_headers()

        def do_GET(self):
            self.do_HEAD()
            self.wfile.write(file.read_bytes())

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    nowhere(monkeypatch, f"http://127.0.0.1:{server.server_port}")
    try:
        first = teachers.load("dino", Weights("pretrained", revision="v1"))
        requests = len(asked)
        second = teachers.load("dino", Weights("pretrained", revision="v1"))
        assert requests == len(asked) > 0, "the second time it comes from the cache"
        for teacher in (first, second):
            assert torch.equal(teacher.model.cls_token, state["cls_token"])
            assert teacher.provenance["revision"] == COMMIT and teacher.provenance["file"] == "pytorch_model.bin"
    finally:
        server.shutdown()
        server.server_close()


# Numbers, against each library's own forward pass


@pytest.fixture(scope="module")
def full() -> Callable:
    """Teachers of full size with random weights, each built once."""
    built = {}

    def load(name: str):
        built[name] = built.get(name) or teachers.load(name, "random")
        return built[name]

    return load


def pixels_of(teacher, count: int = 2) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(256, (count, 3, teacher.size, teacher.size), generator=generator, dtype=torch.uint8)


def test_a_checkpoint_of_full_size_fills_the_teacher(full, tmp_path):
    state = {key: (tensor * 1.5 + 0.1).half() for key, tensor in full("dino").model.state_dict().items()}
    file = saved(state, tmp_path / FILE["dino"])
    loaded = pretrained("dino", file).model.state_dict()
    file.unlink()  # hundreds of megabytes that pytest would keep
    assert loaded.keys() == state.keys() and all(torch.equal(loaded[key], state[key].float()) for key in state)


@pytest.mark.parametrize("name", ["dino", "beit"])
def test_preparing_a_fitting_picture_is_timms_own_normalisation(name, full):
    teacher = full(name)
    config = timm.data.resolve_data_config({}, model=teacher.model)
    transform = timm.data.create_transform(**config | {"crop_pct": 1.0})
    pixels = pixels_of(teacher)
    theirs = torch.stack([transform(to_pil_image(picture)) for picture in pixels])
    assert torch.allclose(prepare(pixels, **teacher.transform), theirs, atol=1e-6)
    assert config["interpolation"] == teacher.transform["interpolation"] and not teacher.crop


def test_clip_cuts_out_the_centre_as_open_clip_does(full):
    teacher = full("clip")
    theirs = open_clip.image_transform(teacher.size, is_train=False).transforms
    assert [type(step) for step in theirs[:2]] == [Resize, CenterCrop] and teacher.crop
    assert theirs[0].size == 224 and theirs[0].interpolation == InterpolationMode.BICUBIC
    normalise = next(step for step in theirs if isinstance(step, Normalize))
    generator = torch.Generator().manual_seed(0)
    for height, width in ((300, 451), (427, 239), (100, 151), (224, 224)):
        pixels = torch.randint(256, (1, 3, height, width), generator=generator, dtype=torch.uint8)
        wanted = normalise(theirs[1](theirs[0](pixels / 255).clamp(0, 1)))
        assert torch.allclose(prepare(pixels, **teacher.transform), wanted, atol=1e-5)


@torch.no_grad()
def test_full_size_dino_says_what_timm_says(full):
    teacher = full("dino")
    said, inputs = teacher.image(pixels_of(teacher)), prepare(pixels_of(teacher), **teacher.transform)
    tokens = teacher.model.forward_features(inputs)
    assert torch.allclose(said.pooled, tokens[:, 0], atol=1e-5)
    assert torch.allclose(said.patches, tokens[:, 1:], atol=1e-5)
    assert torch.allclose(said.pooled, teacher.model(inputs), atol=1e-5), "without a head, timm's output is CLS"


@torch.no_grad()
def test_full_size_beit_says_what_timm_says(full):
    teacher = full("beit")
    tokens = teacher.model.forward_features(prepare(pixels_of(teacher), **teacher.transform))
    said = teacher.image(pixels_of(teacher))
    assert torch.allclose(said.pooled, teacher.model.forward_head(tokens, pre_logits=True), atol=1e-5)
    assert torch.allclose(said.patches, tokens[:, 1:], atol=1e-5)


@torch.no_grad()
def test_full_size_clip_says_what_open_clip_says(full):
    teacher = full("clip")
    inputs = prepare(pixels_of(teacher), **teacher.transform)
    assert torch.allclose(
        teacher.image(pixels_of(teacher)).joint, teacher.model.encode_image(inputs, normalize=True), atol=1e-5
    )
    ids = open_clip.get_tokenizer("ViT-B-32-quickgelu")(CAPTIONS)
    said = teacher.text(CAPTIONS)
    assert ids.shape == (3, 77) and said.tokens.shape == (3, 16, 512) and said.lengths.tolist() == [4, 16, 4]
    assert torch.allclose(said.joint, teacher.model.encode_text(ids, normalize=True), atol=1e-5)


@torch.no_grad()
def test_blip_says_what_transformers_says(retrieval):
    """Against the library's own model of the same checkpoint, with its eager attention in every layer."""
    teacher = pretrained("blip", retrieval)
    library = BlipForImageTextRetrieval.from_pretrained(retrieval).eval()
    ids, mask = teacher.tokenize(CAPTIONS)
    inputs = prepare(pixels_of(teacher), **teacher.transform)
    output = library(input_ids=ids, attention_mask=mask, pixel_values=inputs, use_itm_head=False)
    said = teacher.image(pixels_of(teacher))
    assert torch.allclose(said.joint @ teacher.text(CAPTIONS).joint.T, output.itm_score, atol=1e-5)
    assert torch.allclose(torch.cat([said.pooled[:, None], said.patches], 1), output.last_hidden_state, atol=1e-5)


@torch.no_grad()
def test_full_size_blip_with_fused_attention_equals_eager(full):
    """577 tokens; the last layer stays eager, because its weights are the attention map."""
    teacher = full("blip")
    fused = teacher.model.vision_model
    kinds = [isinstance(layer.self_attn, FusedAttention) for layer in fused.encoder.layers]
    assert kinds == [True] * 11 + [False]
    eager = BlipVisionModel(teacher.model.config.vision_config).eval()
    eager.load_state_dict(fused.state_dict())
    inputs = prepare(pixels_of(teacher, 1), **teacher.transform)
    wanted = eager(pixel_values=inputs).last_hidden_state
    given = fused(pixel_values=inputs).last_hidden_state
    assert torch.allclose(given, wanted, atol=1e-5)  # a scale of 0.1249 for 0.125 gives 6e-4


def test_an_attention_of_another_make_is_refused():
    attention = BlipForImageTextRetrieval(BLIP).vision_model.encoder.layers[0].self_attn
    attention.query_norm = torch.nn.LayerNorm(8)
    with pytest.raises(RuntimeError, match="not as in transformers"):
        FusedAttention(attention)


def test_blip_without_weights_has_a_tokenizer_that_needs_no_download(full):
    teacher = full("blip")
    ids, mask = teacher.tokenize(["a dog", "A dog", "cat " * 50])
    assert teacher.tokenizer == {"name": "hashed words (random control)", "length": 35}
    assert ids.shape == (3, 35) and mask.sum(dim=1).tolist() == [4, 4, 35]
    assert torch.equal(ids[0], ids[1]) and (ids[:, 0] == 101).all() and (ids == 102).sum(dim=1).tolist() == [1, 1, 1]
    assert ids[0, 1] == 1000 + 0xE8B7BE43 % 29_522, "CRC-32 of 'a': the same on every machine"
    said = teacher.text(["a dog", "two cats on a mat"])
    alone = teacher.text(["a dog"])
    assert torch.allclose(said.joint[0], alone.joint[0], atol=1e-5) and said.lengths.tolist() == [4, 7]


@pytest.mark.parametrize("name", REPOSITORY)
def test_random_weights_are_the_same_on_two_loads_and_say_so(name, full):
    first, second = full(name), teachers.load(name, "random")
    state = second.state_dict()
    assert all(torch.equal(tensor, state[key]) for key, tensor in first.state_dict().items())
    assert first.provenance["source"] == "random" and first.provenance["revision"] is None
    assert not any(parameter.requires_grad for parameter in second.parameters()) and not second.training
    assert json.loads(json.dumps([first.transform, first.tokenizer, first.provenance]))


@pytest.mark.parametrize("name", REPOSITORY)
def test_random_weights_tell_pictures_apart(name, full):
    """With transformers' own initialisation all of BLIP's features were below 1e-6, the same for every picture."""
    teacher = full(name)
    said = teacher.image(torch.stack([pixels_of(teacher, 1)[0], torch.full((3, teacher.size, teacher.size), 40)]))
    assert said.patches.std() > 0.1 and said.pooled.std() > 0.1
    assert F.cosine_similarity(said.joint[0], said.joint[1], dim=0) < 0.999


@torch.no_grad()
@pytest.mark.parametrize("name", REPOSITORY)
def test_everything_works_in_half_precision(name, full):
    teacher = full(name)
    pixels = pixels_of(teacher)
    plain = teacher.image(pixels)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        said = teacher.image(pixels)
        texts = [teacher.text(CAPTIONS)] if teacher.tokenizer else []
    for features in (said, *texts):
        assert all(torch.isfinite(value).all() for value in vars(features).values())
        assert features.joint.dtype == torch.float32
        assert torch.allclose(features.joint.norm(dim=1), torch.ones(len(features.joint)), atol=1e-5)
    assert said.attention.dtype == torch.float32
    assert torch.allclose(said.attention.sum(dim=1), torch.ones(2), atol=1e-5)
    assert F.cosine_similarity(said.joint, plain.joint).min() > 0.99
    for text in texts:
        assert F.cosine_similarity(text.joint, teacher.text(CAPTIONS).joint).min() > 0.99
