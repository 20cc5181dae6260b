"""Stored features of the tests go to a folder of their own, never to the user's; and no test fails for being slow."""

import pytest
from hypothesis import HealthCheck, settings

from bench import places

# A shared machine may be slow at any moment.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


@pytest.fixture(scope="session", autouse=True)
def own_data_folder(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(places.VARIABLE, str(tmp_path_factory.mktemp("data")))
        yield
