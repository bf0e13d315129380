"""The contract of every objective: its loss, its metrics and what it refuses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from tests.support.bounds import (
    BATCH,
    KEY,
    LINEAR_VAE,
    MODEL,
    PARAMS,
    Batch,
    evaluate,
)
from vae_jax.distributions import Bernoulli, Gaussian, standard_normal
from vae_jax.models import VAE
from vae_jax.objectives import OBJECTIVES, check_latents, importance, make_objective
from vae_jax.objectives.elbo import ROWS as ELBO_ROWS

CASES = [
    ("elbo", {}),
    ("elbo", {"beta": 4.0, "num_samples": 3, "form": "log_weights", "beta_warmup_steps": 10}),
    ("elbo", {"beta": 2.0, "num_samples": 2, "form": "entropy"}),
    ("free_bits", {"free_bits": 0.2, "beta": 3.0}),
    ("capacity", {"capacity": 2.0, "gamma": 5.0, "capacity_steps": 10}),
    ("iwae", {"num_samples": 4}),
    ("miwae", {"num_groups": 2, "num_samples": 3}),
    ("ciwae", {"elbo_weight": 0.3, "num_samples": 4}),
    ("renyi", {"alpha": -1.0, "num_samples": 4}),
]


IDS = ["-".join([name, *map(str, options.values())]) for name, options in CASES]


@pytest.fixture(scope="module", params=CASES, ids=IDS)
def case(request):
    """Return (name, options, objective, (loss, metrics) of it) of each case."""
    name, options = request.param
    objective = make_objective(name, **options)
    return name, options, objective, evaluate(objective)


def test_every_objective_has_a_case():
    """Of those that are bounds of one example: the others have theirs in files of their own."""
    assert {name for name, _ in CASES} == {*ELBO_ROWS, *importance.ROWS}


def test_loss_is_the_objective_turned_and_metrics_hold_the_elbo(case):
    """Mutants: an objective to be minimised, "elbo" for a loss or for the beta-weighted value."""
    _, options, _, (loss, metrics) = case
    assert loss.shape == () and loss == -metrics["objective"]
    assert all(value.shape == () and np.isfinite(value) for value in metrics.values())
    expected = metrics["reconstruction"] - metrics["kl"]
    np.testing.assert_allclose(metrics["elbo"], expected, 1e-5)
    if options.get("beta", 1) != 1 or "gamma" in options:
        assert abs(metrics["objective"] - metrics["elbo"]) > 0.1


def reference_bound(name, options, log_likelihood, log_prior, log_posterior, kls, scale):
    """Return the bound of one example by numpy, at step 5.

    kls: the KL of each dimension; scale: the standard deviations of q.
    """
    log_weights, reconstruction = log_likelihood + log_prior - log_posterior, log_likelihood.mean()
    weights, beta = np.exp(log_weights), options.get("beta", 1)
    match name, options.get("form"):
        case "elbo", None:
            return reconstruction - beta * kls.sum()
        case "elbo", "log_weights":
            return reconstruction + 5 / 10 * beta * np.mean(log_prior - log_posterior)
        case "elbo", "entropy":
            entropy = np.sum(stats.norm.entropy(scale=scale))
            return reconstruction + beta * (log_prior.mean() + entropy)
        case "free_bits", _:
            return reconstruction - beta * np.maximum(kls, options["free_bits"]).sum()
        case "capacity", _:
            return reconstruction - options["gamma"] * abs(kls.sum() - 5 / 10 * options["capacity"])
        case "iwae", _:
            return np.log(weights.mean())
        case "miwae", _:
            return np.mean([np.log(weights[:3].mean()), np.log(weights[3:].mean())])
        case "ciwae", _:
            return 0.3 * log_weights.mean() + 0.7 * np.log(weights.mean())
        case "renyi", _:
            return np.log(np.mean(weights**2)) / 2


def test_loss_is_the_mean_over_a_loop_of_examples(case):
    """Oracle: loops over examples and samples, scipy's densities, the same draws of z.

    Mutants: a sum over the batch, the batch's first key for every example, beta without warm-up.
    """
    (name, options, _, (loss, _)), bounds = case, []
    for key, x in zip(jax.random.split(KEY, len(BATCH.x)), BATCH.x, strict=True):
        q = LINEAR_VAE.encode(PARAMS, x)
        mean, scale = np.array(q.mean), np.exp(q.log_scale)
        count = options.get("num_groups", 1) * options.get("num_samples", 1)
        zs = [np.array(q.sample(k)) for k in jax.random.split(key, count)]
        pixels = [stats.norm.logpdf(x, MODEL.weights @ z + MODEL.bias, 0.6) for z in zs]
        kls = (mean**2 + scale**2 - 1) / 2 - np.log(scale)
        densities = [pixels, stats.norm.logpdf(zs), stats.norm.logpdf(zs, mean, scale)]
        densities = (np.sum(d, -1) for d in densities)
        bounds.append(reference_bound(name, options, *densities, kls, scale))
    np.testing.assert_allclose(loss, -np.mean(bounds), 1e-5)


@pytest.mark.slow
def test_jit_changes_nothing_and_two_calls_trace_once(case):
    """Oracle: the second call, with other numbers, without jit.

    Mutant: a step or a hyper-parameter that is a compile-time constant.
    """
    objective, traces, compiled = case[2], [], []

    def decode(params, z, y=None):
        traces.append(z)
        return LINEAR_VAE.decode(params, z, y)

    def jit_once(function):
        compiled.append(jax.jit(function))
        return compiled[0]

    for number in (0, 1):
        arguments = {
            "key": jax.random.fold_in(KEY, number),
            "batch": Batch(BATCH.x + number),
            "step": number,
            **{
                field: jnp.array(value + 0.1 * number) for field, value in objective.hparams.items()
            },
        }
        vae = LINEAR_VAE._replace(decode=decode)
        fast = evaluate(objective, vae=vae, jit=jit_once, **arguments)
    assert len(traces) == 1
    slow = evaluate(objective, jit=lambda function: function, **arguments)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, 1e-4), fast, slow)


def test_reconstruction_is_summed_over_pixels():
    """Oracle: 16 fair bits cost 16 log 2 nats. Mutants: a mean over pixels, or over rows."""
    vae = VAE(
        init=lambda key, examples: {},
        encode=lambda params, x, y=None: standard_normal(2),
        decode=lambda params, z, y=None: Bernoulli(jnp.zeros((4, 4))),
        prior=lambda params, y=None: standard_normal(2),
    )
    _, metrics = evaluate(make_objective("elbo"), vae=vae, batch=Batch(jnp.ones((3, 4, 4))))
    np.testing.assert_allclose(metrics["reconstruction"], -16 * np.log(2), 1e-6)
    np.testing.assert_allclose(metrics["objective"], -16 * np.log(2), 1e-6)


def test_condition_reaches_encoder_decoder_and_prior():
    """Oracle: q = p(z|y) = N(y, 1) has KL 0 and x = y is decoded exactly: -log(2 pi) for two
    pixels. Mutant: y not handed on."""

    def around(y):
        return Gaussian(y, jnp.zeros(2))

    vae = VAE(
        init=lambda key, examples: {},
        encode=lambda params, x, y=None: around(y),
        decode=lambda params, z, y=None: around(y),
        prior=lambda params, y=None: around(y),
    )
    ys = jnp.array([[3.0, 1.0], [-2.0, 5.0]])
    _, metrics = evaluate(make_objective("elbo"), vae=vae, batch=Batch(ys, ys))
    assert metrics["kl"] == 0
    np.testing.assert_allclose(metrics["elbo"], -np.log(2 * np.pi), 1e-6)


@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize("latents", ["real", "two layers", "classes", "bits"])
def test_latents_of_the_other_kind_are_refused(name, latents):
    """In the loss, and by `check_latents`. Mutant: discrete samples handed to the ELBO, whose
    encoder would get no gradient."""
    objective, vae = make_objective(name), LINEAR_VAE._replace(latents=latents)
    if objective.latents in ("any", "discrete" if vae.is_discrete else "continuous"):
        check_latents(vae, objective.latents)
        return
    remedy = "objective concrete" if vae.is_discrete else "objective elbo"
    params = {"vae": PARAMS, "objective": {}}
    for call in (
        lambda: check_latents(vae, objective.latents),
        lambda: objective.loss(KEY, vae, params, objective.hparams, BATCH, 0),
    ):
        with pytest.raises(ValueError, match=remedy) as error:
            call()
        assert latents in str(error.value) and "\n" not in str(error.value)


# What is refused.


@pytest.mark.parametrize(
    "name, options, words",
    [
        ("ebo", {}, ["name='ebo'", "did you mean 'elbo'", *sorted(OBJECTIVES)]),
        ("elbo", {"bta": 2.0}, ["bta=2.0", "name='elbo'", "did you mean 'beta'", "num_samples"]),
        ("iwae", {"beta": 2.0}, ["beta=2.0", "name=elbo", "chosen: name='iwae'"]),
        ("elbo", {"beta": -1.0}, ["beta ", ">= 0", "-1.0"]),
        ("elbo", {"beta": np.inf}, ["beta ", "finite", "inf"]),
        ("elbo", {"beta": np.nan}, ["beta ", "nan"]),
        ("elbo", {"num_samples": 0}, ["num_samples", ">= 1", "0"]),
        ("iwae", {"num_samples": -3}, ["num_samples", ">= 1", "-3"]),
        ("miwae", {"num_groups": 0}, ["num_groups", ">= 1", "0"]),
        ("miwae", {"num_samples": 0}, ["num_samples", ">= 1", "0"]),
        ("ciwae", {"elbo_weight": 1.5}, ["elbo_weight", "0 .. 1", "1.5"]),
        ("renyi", {"alpha": np.inf}, ["alpha", "finite", "inf"]),
        ("capacity", {"gamma": -1.0}, ["gamma", ">= 0", "-1.0"]),
        ("capacity", {"capacity": -1.0}, ["capacity", ">= 0", "-1.0"]),
        ("free_bits", {"free_bits": -1.0}, ["free_bits", ">= 0", "-1.0"]),
        ("iwae", {"num_samples": 6, "chunk_size": 4}, ["chunk_size", "divide the 6", "4"]),
        (
            "elbo",
            {"beta_warmup_steps": 10, "beta_cycle_steps": 10},
            ["beta_cycle_steps", "above beta_warmup_steps=10", "got 10"],
        ),
        ("elbo", {"beta_cycle_steps": 10}, ["beta_cycle_steps=10", "set beta_warmup_steps"]),
        ("elbo", {"form": "logweights"}, ["form='logweights'", "did you mean 'log_weights'"]),
        (
            "elbo",
            {"estimator": "sticking_the_landing", "form": "entropy"},
            ["sticking_the_landing", "form='log_weights'"],
        ),
        ("iwae", {"estimator": "dreg"}, ["estimator='dreg'", "doubly_reparameterized"]),
        ("elbo", {"estimator": "vimco"}, ["leave_one_out", "objectives that take it: iwae, miwae"]),
        ("elbo", {"estimator": "leave_one_out"}, ["num_samples >= 2", "got 1"]),
        ("elbo", {"beta_warmup_steps": -1}, ["beta_warmup_steps", ">= 0", "-1"]),
    ],
)
def test_bad_arguments_are_named_in_one_line(name, options, words):
    with pytest.raises(ValueError) as error:
        make_objective(name, **options)
    message = str(error.value)
    assert "\n" not in message
    assert all(word in message for word in words), message
