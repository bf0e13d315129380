"""Where the tests that need prepared data look for it."""

import os
from pathlib import Path

import pytest

DATA_DIR = Path(
    os.environ.get("VAE_JAX_TEST_DATA")
    or Path(__file__).parents[2] / "shared" / "data" / "tfds_array_record"
)


@pytest.fixture(scope="session")
def tfds_dir() -> str:
    """TFDS's folder with mnist and binarized_mnist, or skip."""
    if not DATA_DIR.is_dir():
        pytest.skip(f"no prepared TFDS data in {DATA_DIR}: set VAE_JAX_TEST_DATA to their folder")
    return str(DATA_DIR)


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory) -> str:
    """A cache of decoded arrays for the whole session, so that MNIST is decoded once."""
    return str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(autouse=True)
def own_cache(shared_cache, monkeypatch) -> None:
    """Keep the tests out of the user's cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", shared_cache)
