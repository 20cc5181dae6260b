"""Downloads that break off, change, lie or meet a full disk; the server runs in the test, on the loopback interface."""

import hashlib
import json
import random
import shutil
import socket
import threading
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor

import pytest
from bench.prepare.transfer import DownloadError

from bench.prepare import download
from bench.prepare.download import fetch
from tests.bench.prepare.serving import Server

CONTENT = random.Random(0).randbytes(300_000)
SIZE = len(CONTENT)
CHECKSUM = "sha256:" + hashlib.sha256(CONTENT).hexdigest()
CUT = 100_000


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(download, "WAITS_SECONDS", (0, 0, 0))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Server(CONTENT) as running:
        threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
        yield running
        running.shutdown()


@pytest.fixture
def target(tmp_path):
    return tmp_path / "new" / "file.zip"


def get(server, target, size=SIZE, checksum=CHECKSUM, progress=lambda done, total: None):
    fetch(server.url, target, size, checksum, progress)


def left_beside(target):
    """Names of what a download left beside the target, apart from the lock."""
    return sorted(path.name for path in target.parent.iterdir() if path.suffix != ".lock" and path != target)


def break_off(server, target):
    """A call that gives up when a third of the file, or more, has come."""
    server.cuts = 1
    with pytest.MonkeyPatch.context() as patch, pytest.raises(DownloadError, match="broke off 1 times"):
        patch.setattr(download, "WAITS_SECONDS", ())
        get(server, target)
    assert target.with_name("file.zip.part").read_bytes() == CONTENT[:CUT]
    server.requests.clear()


def test_a_file_arrives_whole_with_progress_and_nothing_beside_it(server, target):
    seen = []
    get(server, target, progress=lambda done, total: seen.append((done, total)))
    assert target.read_bytes() == CONTENT
    assert seen[0] == (0, SIZE) and seen[-1] == (SIZE, SIZE) and seen == sorted(seen)
    assert left_beside(target) == []
    assert "distill-bench" in server.requests[0]["User-Agent"]


@pytest.mark.parametrize("size", [None, SIZE])
def test_a_broken_connection_is_continued_where_it_ended(server, target, size):
    server.cuts = 2
    get(server, target, size=size)
    assert target.read_bytes() == CONTENT
    assert [asked["Range"] for asked in server.requests] == [None, f"bytes={CUT}-", f"bytes={2 * CUT}-"]
    assert server.requests[1]["If-Range"] == '"one"'


def test_a_chunk_that_ends_early_is_continued(server, target):
    server.broken_chunks = 2
    get(server, target)
    assert target.read_bytes() == CONTENT
    assert [asked["Range"] for asked in server.requests] == [None, f"bytes={CUT}-", f"bytes={2 * CUT}-"]


def test_a_later_call_continues_an_earlier_one(server, target):
    break_off(server, target)
    get(server, target)
    assert target.read_bytes() == CONTENT
    assert server.requests[0]["Range"] == f"bytes={CUT}-"
    assert left_beside(target) == []


def test_after_three_more_tries_it_gives_up_and_keeps_what_came(server, target):
    server.cut = 1000
    server.cuts = 9
    with pytest.raises(DownloadError, match=r"broke off 4 times, at last: 4000 of 300000 bytes arrived; run again"):
        get(server, target)
    assert not target.exists()
    assert left_beside(target) == ["file.zip.part", "file.zip.part.json"]


def test_tries_that_bring_much_are_not_counted(server, target, monkeypatch):
    monkeypatch.setattr(download, "WORTHWHILE_BYTES", 25_000)
    server.cut = 25_000  # 300,000 bytes: twelve tries, eight more than it makes without progress
    server.cuts = 20
    get(server, target)
    assert target.read_bytes() == CONTENT and len(server.requests) == 12


def test_tries_that_begin_anew_each_time_do_not_go_on_for_ever(server, target, monkeypatch):
    monkeypatch.setattr(download, "WORTHWHILE_BYTES", 25_000)
    server.tag, server.cut, server.cuts = "", 50_000, 50
    with pytest.raises(DownloadError, match=r"broke off 4 times"):
        get(server, target)


@pytest.mark.parametrize("tag", ["", 'W/"weak"'])
def test_without_a_sure_sign_of_the_version_nothing_is_continued(server, target, tag):
    server.tag = tag
    break_off(server, target)
    get(server, target)
    assert target.read_bytes() == CONTENT
    assert server.requests[0]["Range"] is None


def test_a_server_without_ranges_sends_everything_again(server, target):
    break_off(server, target)
    server.ranges = False
    get(server, target)
    assert target.read_bytes() == CONTENT
    assert len(server.requests) == 1 and server.requests[0]["Range"]


@pytest.mark.parametrize("conditions", [True, False])
def test_a_file_that_changed_meanwhile_is_begun_anew(server, target, conditions):
    break_off(server, target)
    server.content, server.tag, server.conditions = CONTENT[::-1], '"two"', conditions
    get(server, target, checksum=None)
    assert target.read_bytes() == CONTENT[::-1]


@pytest.mark.parametrize("range_", [f"bytes 0-299999/{SIZE}", "bytes 100000-150000/300000", "nonsense"])
def test_a_continuation_from_another_place_is_not_appended(server, target, range_):
    break_off(server, target)
    server.content_range = range_
    get(server, target)
    assert target.read_bytes() == CONTENT
    assert [bool(asked["Range"]) for asked in server.requests] == [True, False]


def test_a_part_of_another_address_is_not_continued(server, target):
    break_off(server, target)
    server.url += "?mirror"
    get(server, target)
    assert target.read_bytes() == CONTENT
    assert server.requests[0]["Range"] is None


@pytest.mark.parametrize("note", ["", "[]", "{}", '{"url": 1, "version": 2, "total": 3}'])
def test_a_part_whose_note_is_unreadable_is_not_continued(server, target, note):
    break_off(server, target)
    target.with_name("file.zip.part.json").write_text(note)
    get(server, target)
    assert target.read_bytes() == CONTENT
    assert server.requests[0]["Range"] is None


@pytest.mark.parametrize("total", [SIZE, None])
def test_a_part_that_was_complete_is_only_renamed(server, target, total):
    break_off(server, target)
    target.with_name("file.zip.part").write_bytes(CONTENT)
    note = target.with_name("file.zip.part.json")
    note.write_text(json.dumps(json.loads(note.read_text()) | {"total": total}))
    get(server, target, size=None)
    assert target.read_bytes() == CONTENT
    # Where the total is not known, the server is asked and answers 416.
    assert [asked["Range"] for asked in server.requests] == ([] if total else [f"bytes={SIZE}-"])


def test_a_part_longer_than_the_servers_file_is_begun_anew(server, target):
    break_off(server, target)
    target.with_name("file.zip.part").write_bytes(CONTENT + b"more")
    note = target.with_name("file.zip.part.json")
    note.write_text(json.dumps(json.loads(note.read_text()) | {"total": None}))
    get(server, target, size=None)
    assert target.read_bytes() == CONTENT
    assert len(server.requests) == 2


def test_a_wrong_size_is_seen_before_anything_is_fetched(server, target):
    with pytest.raises(DownloadError, match=r"file\.zip: expected 5 bytes for .*, found 300000 at the server"):
        get(server, target, size=5)
    assert left_beside(target) == [] and not target.exists()


def test_more_bytes_than_stated_are_refused_as_they_come(server, target):
    server.lengths = False
    with pytest.raises(DownloadError, match="expected 5 bytes, the server sends more"):
        get(server, target, size=5)
    assert left_beside(target) == [] and not target.exists()


@pytest.mark.parametrize("algorithm", ["md5", "sha256"])
def test_a_wrong_checksum_leaves_the_old_file_and_no_part(server, target, algorithm):
    target.parent.mkdir()
    target.write_bytes(b"old")
    found = hashlib.new(algorithm, CONTENT).hexdigest()
    with pytest.raises(DownloadError) as failure:
        get(server, target, checksum=f"{algorithm}:{'0' * len(found)}")
    assert server.url in str(failure.value) and "0" * len(found) in str(failure.value) and found in str(failure.value)
    assert target.read_bytes() == b"old" and left_beside(target) == []
    get(server, target, checksum=f"{algorithm}:{found.upper()}")
    assert target.read_bytes() == CONTENT and server.requests[-1]["Range"] is None


def test_a_missing_file_says_so_and_is_not_tried_again(server, target):
    server.state = 404
    with pytest.raises(DownloadError, match=rf"{server.url}: HTTP Error 404.*--archives"):
        get(server, target)
    assert len(server.requests) == 1 and left_beside(target) == []


def test_a_busy_server_is_asked_again(server, target):
    server.state = 503
    with pytest.raises(DownloadError, match=r"broke off 4 times, at last: HTTP Error 503"):
        get(server, target)
    assert len(server.requests) == 4


def test_offline_it_says_how_to_bring_the_file(target, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    waits = []
    monkeypatch.setattr(download.time, "sleep", waits.append)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # not listening: a connection is refused
        host = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(
            DownloadError, match=rf"no connection to {host} .*fetch http://{host}/a.zip .*--archives DIR"
        ):
            fetch(f"http://{host}/a.zip", target, None, None, lambda done, total: None)
    assert not any(waits)  # it says so at once


def test_a_file_that_is_there_and_right_is_not_fetched_again(server, target):
    for _ in range(2):
        get(server, target)
    get(server, target, size=None, checksum=None)
    assert len(server.requests) == 1
    target.write_bytes(CONTENT[::-1])
    get(server, target)
    assert len(server.requests) == 2 and target.read_bytes() == CONTENT


@pytest.mark.parametrize("url", ["file:///etc/hostname", "ftp://host/file", "/etc/hostname", "http:///file"])
def test_other_addresses_than_http_are_refused(target, url):
    with pytest.raises(DownloadError, match="only http:// and https://"):
        fetch(url, target, None, None, lambda done, total: None)
    assert not target.parent.exists()


def test_a_checksum_of_an_unknown_kind_is_refused(server, target):
    with pytest.raises(DownloadError, match="'crc:12' is neither"):
        get(server, target, checksum="crc:12")
    assert server.requests == []


def test_a_full_disk_is_seen_before_the_download_and_says_how_much_is_missing(server, target, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**9, 10**9, SIZE - 2**18))
    with pytest.raises(DownloadError, match=r"lacks 0\.2 MB of the"):  # 2^18 bytes are 0.25 MB
        get(server, target)
    assert left_beside(target) == []


def test_a_disk_that_fills_up_is_not_taken_for_a_broken_connection(server, target):
    target.parent.mkdir()
    target.with_name("file.zip.part.json").mkdir()  # a write that fails, without filling a disk
    with pytest.raises(DownloadError, match="cannot write"):
        get(server, target)
    assert len(server.requests) == 1


def test_two_at_once_fetch_the_file_once(server, target):
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda _: get(server, target), range(2)))
    assert target.read_bytes() == CONTENT and left_beside(target) == []
    assert len(server.requests) == 1
