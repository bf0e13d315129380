"""Configs whose x, y or z is no plain array: trained, drawn, encoded and sampled, as users do."""

import importlib
import json

import jax
import numpy as np
import pytest

from configs import default
from experiments import encode, sample
from experiments.support import cli
from experiments.support.assembly import build_evaluation, build_run
from experiments.support.loading import load_member
from tests.support.programs import resolved, train_here
from tests.support.quick import quick
from vae_jax import datasets

# {config: (pictures beside the common ones, arrays that encode writes, arrays that sample writes)}
COMMON = {"reconstructions", "samples", "overview", "curves"}
REAL = {"traversal", "interpolation", "latent_means"}


CONFIGS = {
    "cvae": (REAL | {"classes"}, {"mean", "scale", "reconstruction"}, {"z", "mean", "x", "y"}),
    "semi_supervised": (
        REAL | {"classes"},
        {"mean", "scale", "reconstruction", "y", "label_probabilities"},
        {"z", "mean", "x", "y"},
    ),
    "quadrants": (
        REAL | {"completions"},
        {"mean", "scale", "reconstruction"},
        {"z", "mean", "x", "y"},
    ),
    "halves": (
        REAL,
        {"mean", "scale", "reconstruction_lower", "reconstruction_upper"},
        {"z", "mean_lower", "mean_upper", "x_lower", "x_upper"},
    ),
    "two_layers": (
        REAL,
        {"mean", "mean_upper", "reconstruction"},
        {"z_lower", "z_upper", "mean", "x"},
    ),
    "concrete": (set(), {"mean", "reconstruction"}, {"z", "mean", "x"}),
}


def small(fields):
    """Make a config quick: two epochs of a small network."""
    fields.vae.hidden = (16,)
    if fields.vae.posterior == "two_layers":
        fields.vae.upper_hidden = (8,)
    fields.training.num_epochs = 2
    fields.optimizer.warmup_steps = 5
    fields.evaluation.num_samples = 3
    fields.compilation_cache = "off"
    return fields


@pytest.fixture(
    scope="module",
    params=quick(CONFIGS),
)
def trained(request, tmp_path_factory):
    """Return (config's name, folder) of a finished run."""
    workdir = tmp_path_factory.mktemp(request.param) / "run"
    config = small(importlib.import_module(f"configs.{request.param}").get_config())
    train_here(config, workdir)
    return request.param, workdir


def test_pictures_and_numbers(trained):
    config, workdir = trained
    names = {path.stem for path in (workdir / "figures").glob("*.png")}
    assert names == COMMON | CONFIGS[config][0]
    summary = json.loads((workdir / "summary.json").read_text())
    assert np.isfinite([summary["elbo"], summary["nll"], summary["bits_per_dim"]]).all()
    # Bits per dimension are over the pixels that are predicted: 48 of 64 beside a given quarter.
    pixels = 48 if config == "quadrants" else 64
    assert ("accuracy" in summary) == (config == "semi_supervised")
    assert summary["bits_per_dim"] == pytest.approx(summary["nll"] / (pixels * np.log(2)))


def test_encode_and_sample(trained, tmp_path):
    """The test set's own numbers come back; a draw for each y."""
    config, workdir = trained
    run, _, _ = load_member(workdir, with_data=True)
    test, source = run.dataset.test, tmp_path / "x.npz"
    x = test.x if isinstance(test.x, dict) else {"x": test.x}
    np.savez(source, **x, y=test.y)
    encode.encode_file(str(workdir), str(source), str(tmp_path / "z.npz"), 0, 3)
    z = np.load(tmp_path / "z.npz")
    assert set(z.files) == {"elbo", "log_likelihood"} | CONFIGS[config][1]
    summary = json.loads((workdir / "summary.json").read_text())
    assert abs(z["log_likelihood"].mean() + summary["nll"]) < 1e-3
    assert abs(z["elbo"].mean() - summary["elbo"]) < 1e-3
    sample.sample_to_file(str(workdir), str(tmp_path / "s.npz"), 0, 12, 0)
    samples = np.load(tmp_path / "s.npz")
    assert set(samples.files) == CONFIGS[config][2]
    assert all(len(samples[name]) == 12 for name in samples.files)
    if config in ("cvae", "semi_supervised"):
        np.testing.assert_array_equal(samples["y"], [*range(10), 0, 1])


@pytest.mark.slow
def test_a_z_of_two_layers_is_encoded_and_drawn_by_name():
    """Without training. Mutants: one layer left out, its name lost."""
    config = resolved(small(importlib.import_module("configs.two_layers").get_config()))
    run, how_measured = build_run(config), build_evaluation(config)
    examples = datasets.expected_examples(run.dataset, run.dataset.train)
    params = jax.jit(run.vae.init)(jax.random.key(0), examples)
    few = jax.tree.map(lambda leaf: leaf[:5], run.dataset.test)
    codes = encode.encode_examples(run, how_measured, params, few)
    assert set(codes) == {"elbo", "log_likelihood"} | CONFIGS["two_layers"][1]
    assert all(len(each) == 5 and np.isfinite(each).all() for each in codes.values())
    drawn = sample.draw_samples(run, params, num=3, seed=0, batch_size=3)
    assert set(drawn) == CONFIGS["two_layers"][2]
    assert all(len(each) == 3 and np.isfinite(each).all() for each in drawn.values())


def test_examples_without_a_label_are_labelled_by_the_classifier():
    """Without training. Oracle: the classifier of each example alone, of x / 16. Mutants: labels
    that are given replaced, -1 left as it is, stored values classified."""
    config = resolved(small(importlib.import_module("configs.semi_supervised").get_config()))
    run, how_measured = build_run(config), build_evaluation(config)
    train = datasets.expected_examples(run.dataset, run.dataset.train)
    params = {"objective": run.objective.init(jax.random.key(0), run.vae, train)}
    few = jax.tree.map(lambda leaf: leaf[:7], run.dataset.test)
    classify = jax.jit(lambda x: run.objective.classify(run.vae, params["objective"], x))
    q = np.exp([classify(np.float32(x / 16)) for x in few.x])
    some = np.where(np.arange(7) % 2, few.y, -1)
    for given in (None, some):
        filled, written = encode.fill_labels(run, how_measured, params, few._replace(y=given))
        np.testing.assert_allclose(written["label_probabilities"], q, rtol=1e-4)
        expected = q.argmax(1) if given is None else np.where(some < 0, q.argmax(1), few.y)
        np.testing.assert_array_equal(filled.y, expected)
        np.testing.assert_array_equal(written["y"], expected)
    assert np.any(q.argmax(1) != few.y)


X = np.zeros((2, 8, 8, 1), np.uint8)


BAD_INPUTS = {
    "cvae": [
        ({"x": X}, "has no 'y', which the model is given"),
        ({"x": X, "y": np.array([3, 10])}, "integers 0 .. 9"),
        ({"x": X, "y": np.array([3.0, 1.0])}, "integers 0 .. 9"),
    ],
    "semi_supervised": [({"x": X, "y": np.array([3, 10])}, "integers 0 .. 9")],
    "quadrants": [
        ({"x": X[:, :4]}, "shape (4, 8, 1), but those of the model have shape (8, 8, 1)")
    ],
    "halves": [
        ({"lower": X[:, 4:]}, "no key 'upper'; its keys: lower"),
        ({"lower": X[:, 4:], "upper": X[:1, 4:]}, "differ in length"),
    ],
    "two_layers": [
        ({"x": X, "mask": np.arange(X.size).reshape(X.shape) > 0}, "trained on whole examples")
    ],
    "concrete": [({"x": X + 17}, "17 .. 17")],
}


def test_bad_inputs_are_refused_in_one_line(trained, tmp_path, capsys):
    config, workdir = trained
    for arrays, message in BAD_INPUTS[config]:
        np.savez(tmp_path / "x.npz", **arrays)
        with pytest.raises(SystemExit) as ended, cli.user_errors():
            encode.encode_file(str(workdir), str(tmp_path / "x.npz"), str(tmp_path / "z.npz"), 0, 1)
        said = capsys.readouterr().err
        assert ended.value.code == 2 and said.count("\n") == 1 and message in said, said
    known = "0 .. 9" if config in ("cvae", "semi_supervised") else "none: y is no label"
    with pytest.raises(ValueError, match=rf"--label=10 is not one of this run \({known}\)"):
        sample.sample_to_file(str(workdir), str(tmp_path / "s.npz"), 0, 2, 0, label=10)


@pytest.mark.slow
def test_a_table_with_holes(tmp_path):
    """What stands in missing entries changes nothing; they are left out of log p(x)."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 2)) @ rng.normal(size=(2, 6)) + 0.1 * rng.normal(size=(300, 6))
    mask = (rng.random(x.shape) < 0.7).astype(np.uint8)
    values = []
    for hole in (np.nan, 7.0):
        np.savez(tmp_path / "x.npz", x=np.where(mask, x, hole), mask=mask)
        config = small(default.get_config())
        config.data.name, config.data.path = "npz", str(tmp_path / "x.npz")
        config.vae.likelihood, config.vae.likelihood_scale = "gaussian", 0.5
        config.optimizer.warmup_steps = 0
        workdir = tmp_path / f"run{len(values)}"
        train_here(config, workdir)
        values.append(json.loads((workdir / "summary.json").read_text()))
    assert values[0]["nll"] == values[1]["nll"]
    assert "bits_per_dim" not in values[0]
    encode.encode_file(str(workdir), str(tmp_path / "x.npz"), str(tmp_path / "z.npz"), 0, 3)
    z = np.load(tmp_path / "z.npz")
    assert np.isfinite(z["log_likelihood"]).all() and z["reconstruction"].shape == x.shape


@pytest.mark.slow
def test_fields_of_different_kinds(tmp_path):
    """Bits, grey levels and reals in one npz, a likelihood each, as a beta-VAE."""
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 2, (120, 5))
    grey = rng.integers(0, 256, (120, 4, 4, 1), np.uint8)
    np.savez(tmp_path / "x.npz", a=bits, b=grey, c=bits @ rng.normal(size=(5, 3)))
    config = small(default.get_config())
    config.data.name, config.data.path = "npz", str(tmp_path / "x.npz")
    config.data.fields, config.optimizer.warmup_steps = ("a", "b", "c"), 0
    config.vae.likelihood = "a=bernoulli,b=discretized_logistic,c=gaussian_learned_scale"
    config.objective.beta = 2.0
    config.training.batch_size = 90
    train_here(config, tmp_path / "run")
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert np.isfinite(summary["nll"]) and "bits_per_dim" not in summary
    levels = datasets.load_npz(path=config.data.path, fields=config.data.fields).by_field("kinds")
    assert levels == {"a": ("bits",), "b": ("real", "unit", "levels"), "c": ("real",)}
