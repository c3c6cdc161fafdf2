"""What the tests of the data pipeline share."""

import os
import subprocess
from pathlib import Path

import pytest

_ARCHIVES = Path(__file__).parents[3] / "shared" / "data"


@pytest.fixture(scope="session")
def real_images(tmp_path_factory):
    """A folder with cifar10_jpeg/ and imagenet_mini/; too large to lie in the repository."""
    if folder := os.environ.get("GNP_IMAGES"):
        return Path(folder)
    if not _ARCHIVES.is_dir():
        pytest.skip("set GNP_IMAGES to a folder that holds cifar10_jpeg and imagenet_mini")
    folder = tmp_path_factory.mktemp("images")
    subprocess.run(["bash", _ARCHIVES / "unpack.sh", folder], check=True)
    return folder
