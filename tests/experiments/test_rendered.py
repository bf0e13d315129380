"""A run on rendered images: its programs, from training to codes of one's own images."""

import json

import numpy as np
import pytest

from tests.support.programs import SMALL, run_program, train
from vae_jax import datasets


@pytest.mark.slow
def test_programs_of_a_rendered_set(tmp_path):
    """Training, pictures, evaluation, samples and codes. Mutants: images of a file that are taken
    for indices to be rendered, indices that are taken for images."""
    sizes = ("--config.data.num_train=1000", "--config.data.num_test=60")
    done = train(tmp_path / "run", *SMALL, *sizes, config="beta_sprites")
    assert done.returncode == 0, done.stderr
    pictures = {path.stem for path in (tmp_path / "run" / "figures").glob("*.png")}
    assert {"curves", "reconstructions", "samples", "traversal"} <= pictures
    own = f"--workdir={tmp_path / 'run'}"
    assert run_program("experiments.evaluate", own, "--num_samples=3").returncode == 0
    numbers = [
        json.loads((tmp_path / "run" / f"{name}.json").read_text())
        for name in ("summary", "evaluation")
    ]
    assert numbers[0]["elbo"] == numbers[1]["elbo"]
    done = run_program("experiments.sample", own, "--num=3", f"--output={tmp_path / 's.npz'}")
    assert done.returncode == 0, done.stderr
    test = datasets.load_dataset("sprites", num_test=60).test
    np.savez(tmp_path / "x.npz", x=datasets.render_sprites(test.x))
    np.savez(tmp_path / "indices.npz", x=test.x)
    output = f"--output={tmp_path / 'z.npz'}"
    encode = ("experiments.encode", own, output, "--num_samples=3")
    done = run_program(*encode, f"--input={tmp_path / 'x.npz'}")
    assert done.returncode == 0, done.stderr
    with np.load(tmp_path / "z.npz") as codes:
        np.testing.assert_allclose(codes["elbo"].mean(), numbers[0]["elbo"], rtol=1e-4)
    done = run_program(*encode, f"--input={tmp_path / 'indices.npz'}", "--overwrite")
    assert done.returncode == 2 and "examples of shape ()" in done.stderr
