"""What the wheel does outside of the repository: python wheel.py FOLDER, that of a run."""

import importlib.util
from pathlib import Path
import sys
import tempfile

import numpy as np

import vae_jax

assert Path(vae_jax.__file__).is_relative_to(sys.prefix), vae_jax.__file__
assert importlib.util.find_spec("experiments") is None
assert (Path(vae_jax.__file__).parent / "py.typed").is_file()

model = vae_jax.load_model(sys.argv[1])
codes = model.encode(model.sample(3))
assert len(codes) == 3 and np.isfinite(codes).all()

x = np.random.default_rng(0).normal(size=(300, 4))
data = vae_jax.from_arrays(x)
vae = vae_jax.make_vae_for(data, likelihood="gaussian_learned_scale", latent_dim=1, hidden=(8,))
fitted = vae_jax.fit(vae, data, num_epochs=2, batch_size=50, num_samples=5)
with tempfile.TemporaryDirectory() as folder:
    for each in (model, fitted.model):
        vae_jax.save_model(each, f"{folder}/model.vae", overwrite=True)
        opened = vae_jax.load_model(f"{folder}/model.vae")
        np.testing.assert_array_equal(opened.sample(2), each.sample(2))
