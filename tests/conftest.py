"""Stored features of the tests go to a folder of their own, never to the user's."""

import pytest

from bench import places


@pytest.fixture(scope="session", autouse=True)
def own_data_folder(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(places.VARIABLE, str(tmp_path_factory.mktemp("data")))
        yield
