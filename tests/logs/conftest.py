"""trackio writes into a folder of this test session, which it reads from the environment when it is imported."""

import os

import pytest


@pytest.fixture(scope="session", autouse=True)
def own_trackio_folder(tmp_path_factory):
    os.environ["TRACKIO_DIR"] = str(tmp_path_factory.mktemp("trackio"))
