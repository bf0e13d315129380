"""The contract of every objective: its loss, its metrics and what it refuses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from tests.support.bounds import (
    BATCH,
    KEY,
    LINEAR_VAE,
    MODEL,
    PARAMS,
    Batch,
    evaluate,
)
from tests.support.linear_gaussian import gaussian_kl
from vae_jax.distributions import Bernoulli, Gaussian, standard_normal
from vae_jax.models import VAE
from vae_jax.objectives import (
    OBJECTIVES,
    check_latents,
    make_objective,
)

CASES = [
    ("elbo", {}),
    ("elbo", {"beta": 4.0, "num_samples": 3, "sampled_kl": True, "beta_warmup_steps": 10}),
    ("iwae", {"num_samples": 4}),
]


@pytest.fixture(scope="module", params=CASES, ids=[name for name, _ in CASES])
def case(request):
    """Return (name, options, objective, (loss, metrics) of it) of each case."""
    name, options = request.param
    objective = make_objective(name, **options)
    return name, options, objective, evaluate(objective)


def test_every_objective_has_a_case():
    """Those of discrete latents have theirs in test_discrete, those of labels of which some are
    missing in test_semi_supervised."""
    made = {name: make_objective(name) for name in OBJECTIVES}
    others = {name for name, each in made.items() if each.relaxes or each.classify is not None}
    assert {name for name, _ in CASES} == {*OBJECTIVES} - others


def test_loss_is_the_objective_turned_and_metrics_hold_the_elbo(case):
    """Mutants: an objective to be minimised, "elbo" for a loss or for the beta-weighted value."""
    _, options, _, (loss, metrics) = case
    assert loss.shape == () and loss == -metrics["objective"]
    assert all(value.shape == () and np.isfinite(value) for value in metrics.values())
    expected = metrics["reconstruction"] - metrics["kl"]
    np.testing.assert_allclose(metrics["elbo"], expected, 1e-5)
    if options.get("beta", 1) != 1:
        assert abs(metrics["objective"] - metrics["elbo"]) > 0.1


def reference_bound(name, options, log_likelihood, log_prior, log_posterior, closed_form_kl):
    """Return the bound of one example by numpy, at step 5."""
    if name == "iwae":
        return special.logsumexp(log_likelihood + log_prior - log_posterior, b=1 / len(log_prior))
    kl = np.mean(log_posterior - log_prior) if options.get("sampled_kl") else closed_form_kl
    warmup = 5 / options["beta_warmup_steps"] if options.get("beta_warmup_steps") else 1
    return np.mean(log_likelihood) - warmup * options.get("beta", 1) * kl


def test_loss_is_the_mean_over_a_loop_of_examples(case):
    """Oracle: loops over examples and samples, scipy's densities, the same draws of z.

    Mutants: a sum over the batch, the batch's first key for every example, beta without warm-up.
    """
    (name, options, _, (loss, _)), bounds = case, []
    for key, x in zip(jax.random.split(KEY, len(BATCH.x)), BATCH.x, strict=True):
        q = LINEAR_VAE.encode(PARAMS, x)
        mean, scale = np.array(q.mean), np.exp(q.log_scale)
        zs = [np.array(q.sample(k)) for k in jax.random.split(key, options.get("num_samples", 1))]
        pixels = [stats.norm.logpdf(x, MODEL.weights @ z + MODEL.bias, 0.6) for z in zs]
        kl = gaussian_kl(mean, np.diag(scale**2), 0 * mean, np.eye(2))
        densities = [pixels, stats.norm.logpdf(zs), stats.norm.logpdf(zs, mean, scale)]
        bounds.append(reference_bound(name, options, *(np.sum(d, -1) for d in densities), kl))
    np.testing.assert_allclose(loss, -np.mean(bounds), 1e-5)


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
            **{field: jnp.array(value + number) for field, value in objective.hparams.items()},
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
    if vae.is_discrete == objective.relaxes:
        check_latents(vae, objective.relaxes)
        return
    remedy = "objective concrete" if vae.is_discrete else "objective elbo"
    params = {"vae": PARAMS, "objective": {}}
    for call in (
        lambda: check_latents(vae, objective.relaxes),
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
        ("elbo", {"beta_warmup_steps": -1}, ["beta_warmup_steps", ">= 0", "-1"]),
    ],
)
def test_bad_arguments_are_named_in_one_line(name, options, words):
    with pytest.raises(ValueError) as error:
        make_objective(name, **options)
    message = str(error.value)
    assert "\n" not in message
    assert all(word in message for word in words), message
