"""Sweeps, frozen members, early stopping: what the loop does with several members."""

import importlib
import json
import shutil

import jax
import numpy as np
import pytest

from experiments import train
from experiments.support import measurement, progress, run_folder
from experiments.support.loading import load_member, load_run
from tests.support.programs import build, train_here, with_fields
from vae_jax import training

POINTS = ["beta=1, learning_rate=0.001", "beta=4, learning_rate=0.001"]
DIVERGED = ["beta=1, learning_rate=1e+30", "beta=4, learning_rate=1e+30"]


def small_config(**fields):
    """Return configs/beta.py made small, with fields of the form block__name=value."""
    config = importlib.import_module("configs.beta").get_config()
    changes = {
        "vae__hidden": (16,),
        "training__num_epochs": 2,
        "optimizer__warmup_steps": 0,
        "optimizer__schedule": "constant",
        "training__checkpoint_every_epochs": 1,
        "training__eval_every_epochs": 1,
        "evaluation__num_samples": 3,
    }
    return with_fields(config, **changes | fields)


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """(config, folder) of a run of two seeds of four points, two of which diverge."""
    sweep = "objective.beta=1,4;optimizer.learning_rate=1e-3,1e30"
    config = small_config(sweep=sweep, num_seeds=2)
    workdir = tmp_path_factory.mktemp("sweep")
    train_here(config, workdir)
    return config, workdir


@pytest.mark.slow
def test_every_member_is_named_and_averaged_over_seeds(swept):
    _, workdir = swept
    summary = json.loads((workdir / "summary.json").read_text())
    named = [f"{point}, seed={seed}" for point in sorted(POINTS + DIVERGED) for seed in (0, 1)]
    assert summary["members"] == named
    elbo = summary["elbo"]
    for i, member in enumerate(named):
        folder = workdir / "figures" / member.replace(", ", "-")
        assert (elbo["members"][i] is None) == ("1e+30" in member)
        assert folder.exists() == ("1e+30" not in member)
    for point in POINTS:
        two = [elbo["members"][named.index(f"{point}, seed={seed}")] for seed in (0, 1)]
        assert abs(elbo["points"][point]["mean"] - np.mean(two)) < 1e-9
        assert abs(elbo["points"][point]["standard_error"] - abs(two[0] - two[1]) / 2) < 1e-9
    assert [elbo["points"][point]["num_seeds"] for point in DIVERGED] == [0, 0]
    kls = [summary["kl"]["points"][point]["mean"] for point in POINTS]
    assert kls[0] > kls[1]  # a larger beta asks for a smaller KL


@pytest.mark.slow
def test_a_member_of_a_sweep_is_the_run_alone(swept, tmp_path):
    """beta = 4 and seed 1, trained by itself, has the same bounds at every step."""
    _, workdir = swept
    alone = small_config(seed=1, objective__beta=4.0, optimizer__learning_rate=1e-3)
    train_here(alone, tmp_path)
    ours, theirs = (run_folder.read_curves(f / "metrics.jsonl") for f in (workdir, tmp_path))
    member = json.loads((workdir / "summary.json").read_text())["members"].index(
        f"{POINTS[1]}, seed=1"
    )
    for split in ("train", "validation"):
        ours_elbo, alone_elbo = ours[split]["elbo"][:, member], theirs[split]["elbo"][:, 0]
        np.testing.assert_allclose(ours_elbo, alone_elbo, rtol=1e-4)


@pytest.mark.slow
def test_a_diverged_member_is_marked_and_cannot_be_used(swept, capsys):
    _, workdir = swept
    state = load_run(workdir)[2]
    failed = np.asarray(state.failure.step) >= 0
    assert failed.tolist() == [False, False, True, True] * 2
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state.params))
    with pytest.raises(ValueError, match="failed at step"):
        load_member(workdir, 2)


@pytest.mark.slow
def test_a_resumed_sweep_writes_the_same(swept, tmp_path):
    config, workdir = swept
    folder = tmp_path / "run"
    shutil.copytree(workdir, folder)
    for step in (24,):
        shutil.rmtree(folder / "checkpoints" / str(step))
    train_here(config, folder)
    assert (folder / "metrics.jsonl").read_bytes() == (workdir / "metrics.jsonl").read_bytes()
    states = [load_run(each)[2] for each in (folder, workdir)]
    jax.tree.map(np.testing.assert_array_equal, *[state._replace(key=()) for state in states])


@pytest.mark.slow
def test_patience_ends_a_run_and_the_best_is_measured(tmp_path):
    """A large learning rate makes the validation ELBO wander: the run stops two evaluations after
    its best one, and what is measured and used is the state of that one."""
    config = small_config(optimizer__learning_rate=0.05, training__patience=2)
    config.training.num_epochs = 200
    train_here(config, tmp_path)
    elbos = run_folder.read_curves(tmp_path / "metrics.jsonl")["validation"]["elbo"][:, 0]
    assert len(elbos) < 200 and np.argmax(elbos) == len(elbos) - 3
    run, how, state = load_run(tmp_path)
    assert int(state.step) == 12 * (len(elbos) - 2)
    assert json.loads((tmp_path / "summary.json").read_text())["step"] == int(state.step)
    best = measurement.make_validation(run, how)(state)["elbo"][0]
    np.testing.assert_allclose(best, elbos.max(), rtol=1e-6)
    before = (tmp_path / "metrics.jsonl").read_bytes()
    train_here(config, tmp_path)  # it is over: nothing is trained
    assert (tmp_path / "metrics.jsonl").read_bytes() == before


def test_each_member_keeps_its_own_best(tmp_path):
    """Two members, of which the newest evaluation is the best of one only."""
    run = build(small_config(num_seeds=2))
    early = run.init(run.dataset.train)
    late = early._replace(step=early.step + 1, params=jax.tree.map(lambda p: p + 1, early.params))
    best = progress.keep_best(tmp_path, None, early, [np.array([-3.0, -3.0])])
    best = progress.keep_best(
        tmp_path, best, late, [np.array([-3.0, -3.0]), np.array([-4.0, -2.0])]
    )
    for member, kept in enumerate((early, late)):
        pair = [training.select_member(state, member).params for state in (best, kept)]
        jax.tree.map(np.testing.assert_array_equal, *pair)
    assert not progress.is_exhausted([np.array([-3.0, -3.0]), np.array([-4.0, -2.0])], patience=1)
    assert progress.is_exhausted([np.array([-3.0, -3.0]), np.array([-4.0, np.nan])], patience=1)


def test_schedules_that_outlast_the_run_are_said(tmp_path, capsys):
    config = small_config(
        objective__beta_warmup_steps=999,
        optimizer__schedule="piecewise",
        optimizer__boundaries=(36,),
    )
    run = build(config)
    train.write_and_print_header(run, run.init(run.dataset.train), tmp_path, "")
    printed = " ".join(capsys.readouterr().out.split())
    assert "objective.beta_warmup_steps (999) outlasts the run of 24 steps" in printed
    assert "optimizer.boundaries (36) outlasts the run of 24 steps" in printed


@pytest.mark.slow
def test_a_trace_for_the_profiler_leaves_the_run_as_it_is(tmp_path):
    for name, steps in (("with", 2), ("without", 0)):
        config = small_config(training__profile_steps=steps, training__num_epochs=1)
        train_here(config, tmp_path / name)
    assert len(list((tmp_path / "with" / "profile").rglob("*.xplane.pb"))) == 1
    traced, plain = ((tmp_path / n / "metrics.jsonl").read_bytes() for n in ("with", "without"))
    assert traced == plain
