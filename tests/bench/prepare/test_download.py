"""Downloads that break off, change, lie or meet a full disk; the server runs in the test, on the loopback interface."""

import hashlib
import random
import socket

import pytest
from huggingface_hub import constants

from bench.data.archives import PrepareError
from bench.prepare.download import fetch

CONTENT = random.Random(0).randbytes(300_000)
SIZE = len(CONTENT)
CHECKSUM = "sha256:" + hashlib.sha256(CONTENT).hexdigest()
CUT = 100_000


@pytest.fixture
def server(serve):
    return serve(CONTENT)


@pytest.fixture
def target(tmp_path):
    return tmp_path / "new" / "file.zip"


def get(server, target, size=SIZE, checksum=CHECKSUM, progress=lambda done, total: None):
    fetch(server.url, target, size, checksum, progress)


def ranges(server):
    return [headers["Range"] for headers in server.requests]


def part_of(target, content):
    """What an interrupted call leaves."""
    target.parent.mkdir()
    part = target.with_name("file.zip.part")
    part.write_bytes(content)
    return part


def test_a_file_arrives_whole_with_progress_and_nothing_beside_it_and_is_not_fetched_again(server, target):
    seen = []
    for _ in range(2):
        get(server, target, progress=lambda done, total: seen.append((done, total)))
    assert target.read_bytes() == CONTENT and list(target.parent.iterdir()) == [target]
    assert seen == [(CUT, SIZE), (2 * CUT, SIZE), (SIZE, SIZE)]
    assert [headers["User-Agent"] for headers in server.requests] == ["distill-bench"]
    target.write_bytes(CONTENT[::-1])
    get(server, target)
    assert target.read_bytes() == CONTENT and len(server.requests) == 2


def test_a_server_that_breaks_off_for_ever_is_given_up_and_the_next_call_continues(server, target):
    server.cuts, server.cut = 1000, 0
    part = part_of(target, CONTENT[:CUT])
    with pytest.raises(PrepareError, match=rf"{server.url}: .*broke off .*run again to continue where {part} ends"):
        get(server, target)
    assert part.read_bytes() == CONTENT[:CUT] and len(server.requests) < 10
    server.cuts = 0
    get(server, target)
    assert target.read_bytes() == CONTENT and set(ranges(server)) == {f"bytes={CUT}-"} and not part.exists()


@pytest.mark.parametrize("left", [CONTENT[::-1][:CUT], CONTENT + b"more"])
def test_a_part_of_another_version_is_removed(server, target, left):
    part = part_of(target, left)
    with pytest.raises(PrepareError, match="what came was removed"):
        get(server, target)
    part.write_bytes(CONTENT[:CUT])
    server.content = CONTENT[:CUT]
    with pytest.raises(PrepareError, match="the server answered HTTP 416; run again"):
        get(server, target)
    server.content = CONTENT
    get(server, target)
    assert target.read_bytes() == CONTENT and server.requests[-1]["Range"] is None


@pytest.mark.parametrize("content", [CONTENT[:5], CONTENT + b"more"])
def test_a_file_of_another_size_is_refused(server, target, content):
    server.content = content
    with pytest.raises(PrepareError, match=rf"{server.url}: expected 300000 bytes, (got 5;|the server sends more)"):
        get(server, target)
    assert list(target.parent.iterdir()) == []


@pytest.mark.parametrize("algorithm", ["md5", "sha256"])
def test_a_wrong_checksum_leaves_the_old_file_and_no_part(server, target, algorithm):
    target.parent.mkdir()
    target.write_bytes(b"old")
    digest = hashlib.new(algorithm, CONTENT).hexdigest()
    expected = "0" * len(digest)
    with pytest.raises(PrepareError, match=rf"{server.url}: expected {algorithm} {expected}, got {digest}; .*DIR"):
        get(server, target, checksum=f"{algorithm}:{expected}")
    assert target.read_bytes() == b"old" and list(target.parent.iterdir()) == [target]
    get(server, target, checksum=f"{algorithm}:{digest}")
    assert target.read_bytes() == CONTENT and ranges(server) == [None, None]


@pytest.mark.parametrize("state", [404, 503])
def test_a_server_that_has_not_the_file_is_asked_once_and_what_to_do_is_said(server, target, state):
    server.state = state
    with pytest.raises(PrepareError, match=rf"{server.url}: the server answered HTTP {state}; .*--archives DIR"):
        get(server, target)
    assert len(server.requests) == 1


@pytest.mark.parametrize("switched_off", [False, True])
def test_offline_it_says_how_to_bring_the_file(serve, target, monkeypatch, switched_off):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", switched_off)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # not listening: a connection is refused
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/file.zip"
        with pytest.raises(
            PrepareError, match=rf"{url}: no connection.*on another machine.*--archives DIR, the folder with file.zip"
        ):
            fetch(url, target, SIZE, CHECKSUM, lambda done, total: None)


def test_a_disk_that_fills_up_is_not_taken_for_a_broken_connection(server, target):
    (target.parent / "file.zip.part").mkdir(parents=True)  # a write that fails, without filling a disk
    with pytest.raises(OSError, match=r"file\.zip\.part"):
        get(server, target)
