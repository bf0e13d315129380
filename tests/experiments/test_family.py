"""Configs whose x, y or z is no plain array: trained, drawn, encoded and sampled, as users do."""

import importlib
import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import default
from experiments import encode, evaluate, sample
from experiments.support import cli, measurement
from experiments.support.assembly import Evaluation, build_run
from experiments.train import train_and_evaluate
from vae_jax import datasets, evaluation, models

# {config: (pictures beside the common ones, arrays that encode writes, arrays that sample writes)}
COMMON = {"reconstructions", "samples", "overview", "curves"}
REAL = {"traversal", "interpolation", "latent_means"}
CONFIGS = {
    "cvae": (REAL | {"classes"}, {"mean", "scale", "reconstruction"}, {"z", "mean", "x", "y"}),
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
    fields.vae.upper_hidden = (8,)
    fields.training.num_epochs = 2
    fields.optimizer.warmup_steps = 5
    fields.evaluation.num_samples = 3
    fields.compilation_cache = "off"
    return fields


@pytest.fixture(scope="module", params=CONFIGS)
def trained(request, tmp_path_factory):
    """Return (config's name, folder) of a finished run."""
    workdir = tmp_path_factory.mktemp(request.param) / "run"
    config = small(importlib.import_module(f"configs.{request.param}").get_config())
    train_and_evaluate(config, workdir, extend=False)
    return request.param, workdir


def test_pictures_and_numbers(trained):
    config, workdir = trained
    names = {path.stem for path in (workdir / "figures").glob("*.png")}
    assert names == COMMON | CONFIGS[config][0]
    summary = json.loads((workdir / "summary.json").read_text())
    assert np.isfinite([summary["elbo"], summary["nll"], summary["bits_per_dim"]]).all()
    # Bits per dimension are over the pixels that are predicted: 48 of 64 beside a given quarter.
    pixels = 48 if config == "quadrants" else 64
    assert summary["bits_per_dim"] == pytest.approx(summary["nll"] / (pixels * np.log(2)))


def test_encode_and_sample(trained, tmp_path):
    """The test set's own numbers come back; a draw for each y."""
    config, workdir = trained
    run, _, _ = evaluate.load_member(workdir)
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
    if config == "cvae":
        np.testing.assert_array_equal(samples["y"], [*range(10), 0, 1])


X = np.zeros((2, 8, 8, 1), np.uint8)
BAD_INPUTS = {
    "cvae": [
        ({"x": X}, "no key 'y'"),
        ({"x": X, "y": np.array([3, 10])}, "integers 0 .. 9"),
        ({"x": X, "y": np.array([3.0, 1.0])}, "integers 0 .. 9"),
    ],
    "quadrants": [({"x": X[:, :4]}, "shape (4, 8, 1), but those of the run have shape (8, 8, 1)")],
    "halves": [
        ({"lower": X[:, 4:]}, "no key 'upper'; its keys: lower"),
        ({"lower": X[:, 4:], "upper": X[:1, 4:]}, "differ in length"),
    ],
    "two_layers": [({"x": X, "mask": np.ones_like(X)}, "trained on whole examples")],
    "concrete": [({"x": X + 17}, "17 .. 17")],
}


def test_bad_inputs_are_refused_in_one_line(trained, tmp_path, capsys):
    config, workdir = trained
    for arrays, message in BAD_INPUTS[config]:
        np.savez(tmp_path / "x.npz", **arrays)
        with pytest.raises(SystemExit) as ended, cli.user_errors():
            encode.encode_file(str(workdir), str(tmp_path / "x.npz"), str(tmp_path / "z"), 0, 1)
        said = capsys.readouterr().err
        assert ended.value.code == 2 and said.count("\n") == 1 and message in said, said
    known = "0 .. 9" if config == "cvae" else "none: y is no label"
    with pytest.raises(ValueError, match=rf"--label=10 is not one of this run \({known}\)"):
        sample.sample_to_file(str(workdir), str(tmp_path / "s.npz"), 0, 2, 0, label=10)


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
        train_and_evaluate(config, workdir, extend=False)
        values.append(json.loads((workdir / "summary.json").read_text()))
    assert values[0]["nll"] == values[1]["nll"]
    assert "bits_per_dim" not in values[0]
    encode.encode_file(str(workdir), str(tmp_path / "x.npz"), str(tmp_path / "z.npz"), 0, 3)
    z = np.load(tmp_path / "z.npz")
    assert np.isfinite(z["log_likelihood"]).all() and z["reconstruction"].shape == x.shape


COUNTS = np.random.default_rng(0).poisson(3.0, (60, 4))
HALF = COUNTS + 0.5
# {case: (arrays of the npz, fields of the config, what the line says)}
REFUSED = {
    "bernoulli on counts": (
        {"x": COUNTS},
        {},
        "needs bits: draw them by data.binarization=dynamic (or static); or use vae.likelihood=ga",
    ),
    "poisson on halves": ({"x": HALF}, {"vae.likelihood": "poisson"}, "needs integers >= 0"),
    "levels of reals": ({"x": HALF}, {"vae.likelihood": "categorical"}, "needs integers 0 .. data"),
    "continuous bernoulli beyond one": (
        {"x": HALF},
        {"vae.likelihood": "continuous_bernoulli"},
        "needs values in 0 .. 1",
    ),
    "mask's shape": (
        {"x": HALF, "mask": np.ones((60, 3))},
        {"vae.likelihood": "gaussian"},
        "'mask' of",
    ),
    "mask's values": (
        {"x": HALF, "mask": np.full((60, 4), 0.5)},
        {"vae.likelihood": "gaussian"},
        "0 (missing) and 1",
    ),
    "no y": ({"x": HALF}, {"vae.likelihood": "gaussian", "vae.conditional": True}, "needs y"),
    "negative y": (
        {"x": HALF, "y": np.arange(60) - 1},
        {"vae.likelihood": "gaussian", "vae.conditional": True},
        "must be labels 0, 1, ..., got -1",
    ),
    "field": (
        {"a": HALF, "b": HALF[:3]},
        {"data.fields": ("a", "b")},
        "differ in length: {'a': 60, 'b': 3}",
    ),
    "no field": ({"a": HALF}, {"data.fields": ("a", "b")}, "has no key 'b'; its keys: a"),
    "likelihood of no field": (
        {"a": HALF, "b": HALF},
        {"data.fields": ("a", "b"), "vae.likelihood": "a=gaussian,c=gaussian"},
        "must name the fields of the data: a, b",
    ),
    "quarters of a table": ({"x": HALF}, {"data.given_quadrants": 1}, "of examples of shape (4,)"),
    "four quarters": ({}, {"data.name": "digits", "data.given_quadrants": 4}, "1, 2 or 3"),
    "maximum": ({"x": COUNTS}, {"data.maximum": -1.0}, "data.maximum must be >= 0"),
    "posterior": ({"x": HALF}, {"vae.posterior": "gausian"}, "did you mean 'gaussian'"),
    "prior": ({}, {"data.name": "digits", "vae.prior": "vampriro"}, "did you mean 'vampprior'"),
    "simplex": (
        {},
        {"data.name": "digits", "vae.posterior": "dirichlet"},
        "use vae.prior=vampprior or dirichlet",
    ),
    "p(z|y) without y": (
        {},
        {"data.name": "digits", "vae.prior": "conditional_gaussian"},
        "needs vae.conditional=True",
    ),
    "discrete": ({}, {"data.name": "digits", "vae.posterior": "categorical"}, "name=concrete"),
    "mixture of none": (
        {},
        {"data.name": "digits", "vae.prior": "mixture", "vae.num_components": 0},
        "vae.num_components must be >= 1, got 0",
    ),
    "pseudo-inputs": (
        {},
        {"data.name": "digits", "vae.prior": "vampprior", "vae.num_components": 2000},
        "more than the 1258 training examples",
    ),
    "pseudo-inputs of": (
        {},
        {"data.name": "digits", "vae.prior": "vampprior", "vae.pseudo_inputs": "random"},
        "known: learned (from",
    ),
    "fields joined by no layer": (
        {},
        {"data.name": "digit_halves", "vae.hidden": ()},
        "vae.hidden must name a layer",
    ),
    "floor": ({}, {"data.name": "digits", "vae.likelihood_floor": 0.0}, "floor must be > 0"),
    "classes": ({}, {"data.name": "digits", "vae.num_classes": 0}, "vae.num_classes must be >= 1"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_refused_in_one_line(tmp_path, case):
    arrays, fields, message = REFUSED[case]
    np.savez(tmp_path / "x.npz", **arrays)
    config = default.get_config()
    config.data.name, config.data.path = "npz", str(tmp_path / "x.npz")
    if "data.name" in fields:
        config.data.path = ""
    for field, value in fields.items():
        block, name = field.split(".")
        config[block][name] = value
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        build_run(config)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("field", "value"),
    [("temperature", 0.0), ("min_temperature", -1.0), ("prior_temperature", float("nan"))],
)
def test_temperatures_are_above_zero(field, value):
    config = importlib.import_module("configs.concrete").get_config()
    config.objective[field] = value
    with pytest.raises(ValueError, match=f"objective.{field} must be above 0 and finite, got"):
        build_run(config)


def test_quadrants_are_those_of_sohn():
    """One given: the lower left; two: the left half; three: all but the lower right."""
    for count, given in ((1, [[0, 0], [1, 0]]), (2, [[1, 0], [1, 0]]), (3, [[1, 1], [1, 0]])):
        np.testing.assert_array_equal(
            datasets.quadrants((4, 6, 1), count)[..., 0], np.kron(given, np.ones((2, 3)))
        )


def test_given_pixels_are_y_and_the_others_x():
    """x and y are parts of the same draw of bits; what is given is missing in x."""
    data = datasets.load_dataset("digits", given_quadrants=2)
    seen = datasets.to_model_examples(data, jax.random.key(0), data.test)
    given = np.broadcast_to(data.given, seen.y.shape)
    bits = datasets.to_model_values(data.values, jax.random.key(0), data.test.x)
    np.testing.assert_array_equal(seen.y, bits * given)
    np.testing.assert_array_equal(seen.x.mask, 1 - given)
    np.testing.assert_array_equal(seen.x.values, bits)
    assert data.is_masked and data.condition == (8, 8, 1)


def test_poisson_of_counts_and_levels_of_classes():
    """What values are decides which likelihoods there are."""
    data = datasets.from_arrays(COUNTS)
    assert data.values.kinds == ("real", "counts")
    assert datasets.from_arrays(COUNTS, maximum=20.0).values.kinds == ("real", "unit", "levels")
    assert datasets.from_arrays(HALF).values.kinds == ("real",)


@pytest.mark.parametrize("posterior", ["two_layers", "coupling"])
def test_no_unit_is_active_by_noise(posterior):
    """A posterior that is the same for every x. Mutant: noise of its own for each example, whose
    means of 100 draws vary by 0.01, the threshold."""
    prior = "two_layers" if posterior == "two_layers" else "standard_normal"
    vae = models.make_vae((4,), posterior=posterior, prior=prior, latent_dim=3, hidden=(5,))
    xs = jax.random.normal(jax.random.key(0), (200, 4))
    params = vae.init(jax.random.key(1), datasets.Examples(xs))
    params["encoder"] = jax.tree.map(jnp.zeros_like, params["encoder"])
    measure = measurement.make_measure(vae, Evaluation(2, jax.random.key(2), 200, 2), 2)
    measured = jax.device_get(measure(params, np.arange(200), datasets.Examples(xs)))
    for name in {"posterior_mean", "posterior_mean_upper"} & measured.keys():
        assert evaluation.active_units(measured[name]) == 0


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
    train_and_evaluate(config, tmp_path / "run", extend=False)
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert np.isfinite(summary["nll"]) and "bits_per_dim" not in summary
    levels = datasets.load_npz(path=config.data.path, fields=config.data.fields).by_field("kinds")
    assert levels == {"a": ("bits",), "b": ("real", "unit", "levels"), "c": ("real",)}
