"""Random edits of valid files: the content, or an error that is meant for people; never another exception."""

import io
import zipfile

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from bench.data.archives import PrepareError
from bench.kit.errors import LocatedError
from bench.plan import matrix
from bench.prepare.unpack import unpack
from bench.training import checkpoint

BOUNDED = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
AT_LENGTH = settings(BOUNDED, max_examples=150)
LINES = matrix.DEFAULT.read_text(encoding="utf-8").splitlines()
EDITS = [
    "", "  ", "- ", ": ", "{", "]", "&a", "*a", "!!python/object:os.system", "!!bool", "!!int", "!!float", "~", "\t", "#",
]  # fmt: skip
VALUES = [
    "all", "-1", "0", "1e999", ".nan", "true", "[]", "{}", "null", "''", "0b_", "2001-13-01", "!!int ''",
]  # fmt: skip
PIECES = st.sampled_from([*LINES, *EDITS])
WORDS = st.one_of(st.sampled_from(VALUES), st.integers().map(str), st.text(max_size=8))


@st.composite
def edited_matrices(draw):
    """The real file with lines replaced, dropped, doubled, indented, or with other values."""
    lines = list(LINES)
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(lines) - 1))
        key = lines[place].partition(":")[0]
        edit = draw(st.sampled_from(["replace", "drop", "double", "indent", "value", "insert"]))
        lines[place : place + 1] = {
            "replace": [draw(PIECES)], "drop": [], "double": [lines[place]] * 2, "indent": ["  " + lines[place]],
            "value": [f"{key}: {draw(WORDS)}"], "insert": [lines[place], draw(PIECES)],
        }[edit]  # fmt: skip
        lines = lines or [""]
    return "\n".join(lines)


def check_matrix(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("edited") / "matrix.yaml"
    path.write_text(text, encoding="utf-8", errors="surrogatepass")
    try:
        loaded = matrix.load(path)
        for profile in loaded.profiles:
            assert matrix.cases(loaded, profile, path)
    except LocatedError as error:
        assert str(error).startswith("matrix.yaml")


MATRICES = given(text=edited_matrices())
test_an_edited_matrix_is_a_matrix_or_an_error_that_says_where = settings(BOUNDED, max_examples=10)(
    MATRICES(check_matrix)
)
test_an_edited_matrix_at_length = pytest.mark.slow(AT_LENGTH(MATRICES(check_matrix)))


FILES = {"set/a.txt": b"first " * 50, "set/b/c.bin": bytes(range(256)) * 4, "set/empty": b""}


def zipped() -> bytes:
    kept = io.BytesIO()
    with zipfile.ZipFile(kept, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in FILES.items():
            archive.writestr(name, content)
    return kept.getvalue()


ARCHIVE = zipped()


@st.composite
def edits(draw, content: bytes):
    """``content`` with bytes replaced, inserted, removed or moved."""
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(content)))
        stop = min(len(content), start + draw(st.sampled_from([0, 1, 2, 4, 30])))
        new = draw(st.one_of(st.binary(max_size=8), st.just(content[stop : stop + 40])))
        content = content[:start] + new + content[stop:]
    return content


def check_archive(tmp_path_factory, content):
    place = tmp_path_factory.mktemp("archive")
    (place / "set.zip").write_bytes(content)
    try:
        paths = unpack(place / "set.zip", place / "to", lambda done, total: None, largest_bytes=10**6)
    except PrepareError as error:
        assert "set.zip" in str(error)
        return
    contents = [path.read_bytes() for path in paths]
    # CRC-32 vouches for contents; a name that was altered in both of its places is another name, inside the folder.
    assert all(path.resolve().is_relative_to((place / "to").resolve()) for path in paths)
    assert set(contents) <= set(FILES.values())


ARCHIVES = given(content=edits(ARCHIVE))
test_an_edited_archive_is_refused_or_gives_the_right_files = BOUNDED(ARCHIVES(check_archive))
test_an_edited_archive_at_length = pytest.mark.slow(AT_LENGTH(ARCHIVES(check_archive)))


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A checkpoint's bytes and facts."""
    path, student = tmp_path_factory.mktemp("saved") / "epoch-0001.safetensors", nn.Linear(4, 3)
    checkpoint.save(path, {"student": student}, torch.optim.AdamW(student.parameters()), {"epoch": 1, "history": []})
    return path.read_bytes(), checkpoint.read(path)[1], student.state_dict()


def check_checkpoint(tmp_path_factory, saved, data):
    content, facts, state = saved
    path = tmp_path_factory.mktemp("checkpoint") / "epoch-0001.safetensors"
    path.write_bytes(data.draw(edits(content)))
    student = nn.Linear(4, 3)
    try:
        assert checkpoint.read(path)[1] == facts
        checkpoint.restore(checkpoint.read(path)[0], {"student": student}, torch.optim.AdamW(student.parameters()))
    except checkpoint.CheckpointError as error:
        assert str(path) in str(error)
        return
    assert all(torch.equal(student.state_dict()[name], value) for name, value in state.items())


DATA = given(data=st.data())
test_an_edited_checkpoint_is_refused_or_is_the_same = BOUNDED(DATA(check_checkpoint))
test_an_edited_checkpoint_at_length = pytest.mark.slow(AT_LENGTH(DATA(check_checkpoint)))
