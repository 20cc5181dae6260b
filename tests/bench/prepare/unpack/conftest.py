"""An archive with nothing wrong in it, and a folder to unpack it into."""

import pytest

from tests.bench.prepare.unpack.zips import CONTENT, make


@pytest.fixture
def good(tmp_path):
    """An archive with nothing wrong in it, with folder entries."""
    return make(tmp_path / "good.zip", [("set/", b""), ("set/void/", b""), *CONTENT.items()])


@pytest.fixture
def target(tmp_path):
    return tmp_path / "deep" / "target"
