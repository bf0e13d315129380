"""What does not fit together is refused in one line, before anything is trained."""

import importlib
import re

import jax.numpy as jnp
import numpy as np
import pytest

from configs import default
from experiments.support.assembly import (
    build_optimizer,
    build_run,
    with_own_optimizer,
    with_warmup,
)
from experiments.support.options import resolve
from experiments.support.sweeps import sweepable
from tests.support.programs import build, with_fields

COUNTS = np.random.default_rng(0).poisson(3.0, (60, 4))


HALF = COUNTS + 0.5


LEARNED = {"vae.likelihood": "gaussian_learned_scale"}
CLASSES = {"vae.posterior": "categorical", "vae.prior": "uniform_categorical"}
# {case: (arrays of the npz, fields of the config, what the line says)}
REFUSED = {
    "bernoulli on counts": (
        {"x": COUNTS},
        {"vae.likelihood": "bernoulli"},
        "needs bits: draw them by binarization=dynamic (or static); or use likelihood=gaussian",
    ),
    "no likelihood": ({"x": HALF}, {}, "has no likelihood of its own: choose likelihood=gaussian"),
    "poisson on halves": ({"x": HALF}, {"vae.likelihood": "poisson"}, "needs integers >= 0"),
    "levels of reals": ({"x": HALF}, {"vae.likelihood": "categorical"}, "needs integers 0"),
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
    "missing y that are not said to be": (
        {"x": HALF, "y": np.arange(60) % 4 - 1},
        {"vae.likelihood": "gaussian", "vae.conditional": True},
        "if -1 says that a label is missing, use missing_labels=true",
    ),
    "missing y of the ELBO": (
        {},
        {"data.name": "digits", "data.num_labels": 100, "vae.conditional": True},
        "config.objective: only 100 training examples of digits have a label",
    ),
    "semi-supervised without y": (
        {},
        {"data.name": "digits", "data.num_labels": 100, "objective.name": "semi_supervised"},
        "use vae.conditional=true",
    ),
    "semi-supervised of a quarter": (
        {},
        {
            "data.name": "digits",
            "data.given_quadrants": 1,
            "vae.conditional": True,
            "objective.name": "semi_supervised",
        },
        "not y of shape (8, 8, 1)",
    ),
    "few labels": (
        {},
        {"data.name": "digits", "data.num_labels": 9},
        "config.data: num_labels must be >= 10, got 9",
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
        "must name the fields of the data, a, b; got a, c",
    ),
    "quarters of a table": ({"x": HALF}, {"data.given_quadrants": 1}, "of examples of shape (4,)"),
    "four quarters": ({}, {"data.name": "digits", "data.given_quadrants": 4}, "1, 2 or 3"),
    "maximum": ({"x": COUNTS}, {"data.maximum": -1.0}, "config.data: maximum must be >= 0"),
    "posterior": ({"x": HALF}, {"vae.posterior": "gausian"}, "did you mean 'gaussian'"),
    "prior": ({}, {"data.name": "digits", "vae.prior": "vampriro"}, "did you mean 'vampprior'"),
    "simplex": (
        {},
        {"data.name": "digits", "vae.posterior": "dirichlet"},
        "use prior=vampprior or dirichlet",
    ),
    "p(z|y) without y": (
        {},
        {"data.name": "digits", "vae.prior": "conditional_gaussian"},
        "needs a model of conditional=True",
    ),
    "discrete": ({}, {"data.name": "digits", **CLASSES}, "use the objective concrete"),
    "mixture of none": (
        {},
        {"data.name": "digits", "vae.prior": "mixture", "vae.num_components": 0},
        "config.vae: num_components must be >= 1, got 0",
    ),
    "pseudo-inputs": (
        {},
        {"data.name": "digits", "vae.prior": "vampprior", "vae.num_components": 2000},
        "more than the 1258 training examples",
    ),
    "pseudo-inputs of": (
        {},
        {"data.name": "digits", "vae.prior": "vampprior", "vae.pseudo_inputs": "random"},
        "is unknown; known: data, learned",
    ),
    "fields joined by no layer": (
        {},
        {"data.name": "digit_halves", "vae.hidden": ()},
        "config.vae: hidden must name a layer",
    ),
    "batch of one": (
        {},
        {"data.name": "digits", "objective.name": "dip_vae", "training.batch_size": 1},
        "config.objective: this objective compares the examples of a batch with each other: it "
        "needs a batch_size of 2 or more, got 1",
    ),
    "alpha": (
        {},
        {"data.name": "digits", "objective.name": "info_vae", "objective.alpha": 2.0},
        "config.objective: alpha must be at most 1, got 2.0",
    ),
    "rate of no sign": (
        {},
        {"data.name": "digits", "objective_optimizer.learning_rate": -1.0},
        "config.objective_optimizer: learning_rate must be >= 0",
    ),
    "option of another optimizer": (
        {},
        {"data.name": "digits", "objective_optimizer.momentum": 0.5},
        "config.objective_optimizer: momentum=0.5 is an option of name=sgd only",
    ),
    "floor": ({}, {"data.name": "digits", **LEARNED, "vae.likelihood_floor": 0.0}, "be above 0"),
    "classes": ({}, {"data.name": "digits", **CLASSES, "vae.num_classes": 0}, "must be >= 1"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_refused_in_one_line(tmp_path, case):
    arrays, fields, message = REFUSED[case]
    np.savez(tmp_path / "x.npz", **arrays)
    fields = {"data.name": "npz"} | fields
    if fields["data.name"] == "npz":
        fields["data.path"] = str(tmp_path / "x.npz")
    config = default.get_config()
    for field, value in fields.items():
        block, name = field.split(".")
        config[block][name] = value
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        build_run(resolve(config, list(fields))[0])
    assert str(caught.value).startswith("config.")
    assert "\n" not in str(caught.value)


def test_the_size_of_the_data_set_is_filled_in():
    """The number of training examples, unless it is given. Mutant: that of all examples."""
    config = with_fields(default.get_config(), objective__name="beta_tcvae")
    assert build(config).config.objective.dataset_size == 1258
    config.objective.dataset_size = 5000
    assert build(config).config.objective.dataset_size == 5000
    assert "dataset_size" not in build(default.get_config()).config.objective


def updates_by(**fields):
    """Return what the optimizers of a config with these fields make of gradients of 1."""
    fields = {"optimizer__name": "sgd", "optimizer__learning_rate": 0.5} | fields
    config = with_fields(default.get_config(), **fields)
    config = with_warmup(resolve(config)[0], 10).copy_and_resolve_references()
    config.optimizer.schedule, config.optimizer.warmup_steps = "constant", 0
    optimizer = build_optimizer(10, **config.optimizer)
    joined = with_own_optimizer(optimizer, 10, config)
    hparams = dict(sweepable(config, {}).values())
    ones = {"vae": {"w": jnp.ones(1)}, "objective": {"w": jnp.ones(1)}}
    made = joined(hparams)
    updates, _ = made.update(ones, made.init(ones), ones)
    return float(updates["vae"]["w"][0]), float(updates["objective"]["w"][0])


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, (-0.5, -0.5)),
        ({"learning_rate": 0.25}, (-0.5, -0.25)),
        ({"name": "sgd", "learning_rate": 0.25}, (-0.5, -0.25)),
        ({"name": "adam"}, (-0.5, -0.5)),
        ({"name": "adam", "eps": 1.0}, (-0.5, -0.25)),
        ({"nesterov": True, "momentum": 0.5}, (-0.5, -0.75)),
    ],
)
def test_what_the_objectives_optimizer_leaves_unset_is_as_the_models(fields, expected):
    """Oracle: first updates by hand: SGD's is -rate, Nesterov's -rate (1 + momentum), Adam's
    -rate / (1 + eps). Mutants: an own rate for both, options of the model's optimizer for
    another row, an own block that is read only where it has a name."""
    fields = {f"objective_optimizer__{name}": value for name, value in fields.items()}
    np.testing.assert_allclose(updates_by(**fields), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("field", "value"),
    [("temperature", 0.0), ("min_temperature", -1.0), ("prior_temperature", float("nan"))],
)
def test_temperatures_are_above_zero(field, value):
    config = importlib.import_module("configs.concrete").get_config()
    config.objective[field] = value
    with pytest.raises(
        ValueError, match=f"^config.objective: {field} must be above 0 and finite, got"
    ):
        build(config)
