"""A place for what is prepared, and an archive made in the test that counts as the official one and is served."""

import hashlib
import threading
from contextlib import ExitStack
from dataclasses import replace

import pytest
from huggingface_hub import constants

from bench.data import tiny_imagenet
from tests.bench.prepare import made
from tests.bench.prepare.made import ROOT
from tests.bench.prepare.outcome import TINY
from tests.bench.prepare.serving import Server


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """The folder of the prepared dataset; the command may choose another one."""
    monkeypatch.setenv("DISTILL_BENCH_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("CI", "true")
    return tmp_path / "data" / TINY


@pytest.fixture
def serve(monkeypatch):
    """``serve(content)`` starts a server; what it sends is kept in pieces of 100,000 bytes, and asked for without waits."""
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 100_000)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    monkeypatch.setenv("no_proxy", "127.0.0.1")

    def start(content):
        server = stack.enter_context(Server(content))
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        stack.callback(server.shutdown)
        return server

    with ExitStack() as stack:
        yield start


@pytest.fixture(scope="package")
def given(tmp_path_factory):
    """A folder with a good archive of Tiny ImageNet's layout."""
    return made.archives(tmp_path_factory.mktemp("archives"), made.tiny_imagenet())


@pytest.fixture
def official(given, monkeypatch):
    """Let the archive in ``given`` be the official one; returns its bytes."""
    content = (given / f"{ROOT}.zip").read_bytes()
    entry = tiny_imagenet.ARCHIVES[0]
    checksum = f"md5:{hashlib.md5(content).hexdigest()}"
    monkeypatch.setattr(tiny_imagenet, "ARCHIVES", (replace(entry, bytes=len(content), checksum=checksum),))
    monkeypatch.setattr(tiny_imagenet, "EXPECTED", {"train": 200, "test": 10})
    monkeypatch.setattr(tiny_imagenet, "DISK_GB", 0.01)
    return content


@pytest.fixture
def server(official, serve, monkeypatch):
    """Serves the official archive."""
    server = serve(official)
    monkeypatch.setattr(tiny_imagenet, "ARCHIVES", (replace(tiny_imagenet.ARCHIVES[0], url=server.url),))
    return server
