"""The hub and its cache, without a connection: what is cached, what is fetched, and what is said where neither works."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants

import teachers
from teachers import Weights, WeightsError
from tests.teachers.full_size.checkpoints import FILE, PROCESSOR, REPOSITORY, SMALL_BUILDERS, saved, state_of

COMMIT = "0123456789abcdef0123456789abcdef01234567"


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
    message = str(refusal.value)
    files = {"clip": "open_clip_model.safetensors"}.get(name, "model.safetensors")
    files += " config.json tokenizer.json tokenizer_config.json preprocessor_config.json" if name == "blip" else ""
    assert f"hf download {REPOSITORY[name]} {files}" + (" --revision v1\n" if revision else "\n") in message
    assert f"teachers: {{{name}: {{path: ...}}}}" in message and str(cache) in message


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
