"""A type checker sees the types of the public surface, as a program that uses the library does."""

import ast
import os
from pathlib import Path
import subprocess
import sys

import pytest

from tests.support.programs import ROOT
import vae_jax

PROGRAM = """
from typing import Any, assert_type

import jax
import numpy as np
import vae_jax
from vae_jax import datasets, distributions, models, objectives, training

data = vae_jax.from_arrays(np.zeros((100, 6), np.float32))
assert_type(data, datasets.Dataset)
vae = vae_jax.make_vae((6,), latent_dim=2, likelihood="gaussian", likelihood_scale=0.1)
assert_type(vae, models.VAE)
objective, adam = vae_jax.make_objective("elbo", beta=2.0), vae_jax.make_optimizer("adam")
assert_type(objective, objectives.Objective)
batches = vae_jax.make_batches(data, batch_size=10)
hparams = {"learning_rate": 1e-3, **objective.hparams}
keys = jax.random.split(vae_jax.key(0), 1)
seen = vae_jax.expected_examples(data, data.train)
assert_type(seen, vae_jax.Examples)
state = vae_jax.init_members(keys, hparams, vae, objective, adam, seen)
train_step = vae_jax.make_train_step(vae, objective, adam, batches)
state, metrics = vae_jax.make_train_steps(train_step, batches)(state, data.train, 100)
assert_type(state, training.TrainState)
assert_type(metrics, dict[str, jax.Array])
params = vae_jax.select_member(state, 0).params["vae"]
q = vae.encode(params, seen.x[0])
assert_type(q, distributions.Distribution)
code: jax.Array = q.mean
p = vae.decode(params, q.sample(vae_jax.key(1)))
assert_type(p.log_prob(seen.x[0]), jax.Array)
reconstruction: jax.Array = p.mean
assert_type(distributions.kl_divergence(q, vae.prior(params)), jax.Array)
unit = distributions.Gaussian(np.zeros(2), np.zeros(2))
assert_type(unit.sample(vae_jax.key(2)), jax.Array)
assert_type(vae_jax.models.make_vae((6,)), models.VAE)
posteriors = list(vae_jax.TABLES["vae"]["posterior"])

vae_jax.make_vea  # type: ignore[attr-defined]
vae_jax.make_vae(6)  # type: ignore[arg-type]
q.maen  # type: ignore[attr-defined]
"""


@pytest.mark.slow
def test_a_program_of_the_library_passes_a_strict_type_checker(tmp_path):
    """Misspelt names and wrong arguments are errors: each `ignore` that is not needed is one, too.

    Mutants: types hidden behind the lazy `__getattr__`, a Distribution without `mean`.
    """
    names = sorted(vae_jax.__all__)
    shown = [f"reveal_type(vae_jax.{name})" for name in names]
    (tmp_path / "program.py").write_text("\n".join([PROGRAM, *shown]))
    command = [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", "program.py"]
    environment = os.environ | {"MYPYPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    revealed = [line for line in done.stdout.splitlines() if "Revealed type is" in line]
    assert len(revealed) == len(names)
    assert not [line for line in revealed if line.endswith('"Any"')]


def test_type_checkers_are_told_what_is_given_at_run_time():
    """The imports for type checkers name each public name, from the module that has it."""
    tree = ast.parse(Path(vae_jax.__file__).read_text())
    blocks = [each for each in tree.body if isinstance(each, ast.If)]
    (block,) = [each for each in blocks if ast.unparse(each.test) == "TYPE_CHECKING"]
    told = {alias.asname: line.module for line in block.body for alias in line.names}
    given = {name: f"vae_jax.{module}" for name, module in vae_jax._PUBLIC.items()}
    assert told == given | dict.fromkeys(vae_jax._PACKAGES, "vae_jax")
