"""What the tests share: where prepared data are, one small trained run, quick compilations."""

import atexit
import fcntl
import gc
import importlib.metadata
import os
from pathlib import Path
import shutil
import tempfile

import pytest

from tests.support.programs import TRAINED, train

# Most of the tests' time is compilation, which this halves; XLA_FLAGS="" tests what users run.
# The older emitters take a third of the time again; a jaxlib without them would end at the flag.
_quick = "--xla_backend_optimization_level=0"
if importlib.metadata.version("jaxlib").startswith("0.10."):
    _quick += " --xla_cpu_use_fusion_emitters=false"
os.environ.setdefault("XLA_FLAGS", _quick)
# A run that is built again, or by a program, takes what was compiled before in this session.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    os.environ["JAX_COMPILATION_CACHE_DIR"] = tempfile.mkdtemp(prefix="vae_jax-compiled-")
    atexit.register(shutil.rmtree, os.environ["JAX_COMPILATION_CACHE_DIR"], ignore_errors=True)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.2")
# Compiled programs are many objects that stay: looking for garbage among them less often saves a
# tenth of the time.
gc.set_threshold(50_000, 20, 100)

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
    """A cache of decoded arrays and compiled programs for the whole session, which all of its
    processes share."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    (folder / "cache").mkdir(exist_ok=True)
    return str(folder / "cache")


@pytest.fixture(autouse=True)
def own_cache(shared_cache, monkeypatch) -> None:
    """Keep the tests out of the user's cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", shared_cache)


@pytest.fixture(scope="session")
def trained(shared_cache):
    """A finished small run of two seeds, which all processes share: (workdir, what it printed)."""
    folder = Path(shared_cache)
    workdir, printed = folder / "run" / "new" / "elbo", folder / "printed.txt"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not printed.exists():
            done = train(workdir, *TRAINED)
            assert done.returncode == 0, done.stderr
            printed.write_text(done.stdout)
    return workdir, printed.read_text()
