"""Functions that run with jax alone."""

import subprocess
import sys

import numpy as np
import pytest

from tests.test_model_file import X, make_model
from vae_jax.exported import export_functions, to_zip

PROGRAM = """
import sys, zipfile
import jax
import numpy as np
with zipfile.ZipFile(sys.argv[1]) as file:
    encode, decode, sample = (
        jax.export.deserialize(bytearray(file.read(f"{each}.bin"))).call
        for each in ("encode", "decode", "sample")
    )
x = np.load(sys.argv[2])
z = encode(x)
seeds = np.arange(4, dtype=np.uint32)
two = sample(seeds[:2])
np.savez(sys.argv[3], z=z, mean=decode(z), one=encode(x[:1]), x=sample(seeds), again=two)
print(*sys.modules)
"""


@pytest.mark.slow
def test_functions_run_with_jax_alone(tmp_path):
    """Batches of 1, 4 and 30. Mutants: a batch of a fixed size, stored values that are not those of
    the model, parameters left out."""
    model = make_model()
    (tmp_path / "m.zip").write_bytes(to_zip(export_functions(model), "m.zip"))
    np.save(tmp_path / "x.npy", X)
    paths = [str(tmp_path / name) for name in ("m.zip", "x.npy", "out.npz")]
    command = [sys.executable, "-c", PROGRAM, *paths]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    assert not {"vae_jax", "flax", "optax"} & set(done.stdout.split())
    out = np.load(tmp_path / "out.npz")
    np.testing.assert_allclose(out["z"], model.encode(X), atol=1e-6)
    np.testing.assert_allclose(out["one"], model.encode(X)[:1], atol=1e-6)
    np.testing.assert_allclose(out["mean"], model.reconstruct(X), atol=1e-6)
    assert out["x"].shape == (4, 6) and set(np.unique(out["x"])) <= {0, 1}
    np.testing.assert_array_equal(out["x"][:2], out["again"])


def test_a_platform_that_there_is_not_is_refused():
    with pytest.raises(ValueError, match=r"platforms='abacus' is unknown.*cuda"):
        export_functions(make_model(), ["abacus"])
