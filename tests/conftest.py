"""Stored features of the tests go to a folder of their own, never to the user's; and no test fails for being slow."""

import os

import pytest
from hypothesis import HealthCheck, settings

from bench.kit import paths

# A shared machine may be slow at any moment.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

# Before torch is imported: threads of several workers on the same cores slow each other down many times over.
if workers := int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "0")):
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // workers)))


@pytest.fixture(scope="session", autouse=True)
def own_data_folder(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(paths.VARIABLE, str(tmp_path_factory.mktemp("data")))
        yield
