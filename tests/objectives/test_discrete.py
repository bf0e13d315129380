"""Objectives of discrete latents against enumeration: what they report, and what they train."""

import functools
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from tests.support.gradients import KEYS, make_gradients, project, split
from tests.support.linear_gaussian import assert_mean_is
from tests.support.quick import quick
from tests.support.rows import KEY, make_model
from vae_jax.objectives import (
    ESTIMATORS,
    importance_weighted_bound,
    make_objective,
    relaxed_terms,
    sample_terms,
)

NUM_KEYS = 400
# {posterior: (prior, options)}: two variables of three classes, and three bits.
DISCRETE = {
    "categorical": ("uniform_categorical", {"latent_dim": 2, "num_classes": 3}),
    "bernoulli": ("uniform_bits", {"latent_dim": 3}),
}

discrete = pytest.mark.parametrize("posterior", quick(DISCRETE, "categorical"))


@functools.cache
def model(posterior):
    """Return (vae, params, examples), whose latents matter to x."""
    prior, options = DISCRETE[posterior]
    return make_model(posterior, prior, "bernoulli", spread=0.6, condition=None, **options)


@functools.cache
def enumerate_terms(posterior):
    """Return log q(z|x), log p(x|z) and log p(z) of every z [examples, zs], by numpy."""
    vae, params, data = model(posterior)
    q_logits = np.float64(jax.vmap(lambda x: vae.encode(params, x).logits)(data.x))
    if posterior == "categorical":
        zs = np.array(list(itertools.product(np.eye(3), repeat=2)))
        scores = special.log_softmax(q_logits, -1)
        log_q = np.einsum("znk,bnk->bz", zs, scores)
    else:
        zs = np.array(list(itertools.product([0.0, 1.0], repeat=3)))
        signs = 2 * zs - 1
        log_q = special.log_expit(signs * q_logits[:, None]).sum(-1)
    logits = np.float64(jax.vmap(lambda z: vae.decode(params, z).logits)(jnp.float32(zs)))
    signs = 2 * np.float64(data.x)[:, None] - 1
    log_likelihood = special.log_expit(signs * logits).sum(-1)
    return log_q, log_likelihood, -math.log(len(zs))


def exact_elbos(posterior):
    """Return E_q[log p(x|z)] - KL(q || p) of each example, by enumeration."""
    log_q, log_likelihood, log_p = enumerate_terms(posterior)
    return np.sum(np.exp(log_q) * (log_likelihood + log_p - log_q), -1)


def exact_log_marginals(posterior):
    """Return log sum_z p(z) p(x|z) of each example, by enumeration."""
    _, log_likelihood, log_p = enumerate_terms(posterior)
    return special.logsumexp(log_likelihood + log_p, axis=-1)


TRACED = ("beta", "temperature", "prior_temperature")


@functools.cache
def compile_metrics(posterior, options):
    """Return the jitted metrics of (keys, hparams, step), which one program serves."""
    vae, params, data = model(posterior)
    objective = make_objective("concrete", **dict(options))

    def metrics(key, hparams, step):
        hparams, both = objective.hparams | hparams, {"vae": params, "objective": {}}
        loss, metrics = objective.loss(key, vae, both, hparams, data, step)
        return metrics | {"loss": loss}

    return jax.jit(jax.vmap(metrics, (0, None, None)))


def metrics_of(posterior, num_keys=NUM_KEYS, step=0, **options):
    """Return the objective's metrics for each of some keys."""
    hparams = {name: options.pop(name) for name in TRACED if name in options}
    compiled = compile_metrics(posterior, tuple(options.items()))
    return jax.tree.map(np.asarray, compiled(jax.random.split(KEY, num_keys), hparams, step))


@discrete
def test_elbo_is_that_of_discrete_samples(posterior):
    """Estimator: the mean over 400 keys, four standard errors, and the relaxed one is another.

    Mutants: relaxed samples handed to the ELBO, the relaxed densities for its KL, a mean over
    the variables.
    """
    exact = exact_elbos(posterior).mean()
    metrics = metrics_of(posterior, beta=3.0)
    assert_mean_is(metrics["elbo"], exact)
    with pytest.raises(AssertionError):
        assert_mean_is(metrics["relaxed_elbo"], exact)
    np.testing.assert_array_equal(metrics["loss"], -metrics["objective"])
    # With kl="discrete" the KLs are one number: that of the discrete distributions.
    log_q, _, log_p = enumerate_terms(posterior)
    kl = np.sum(np.exp(log_q) * (log_q - log_p), -1).mean()
    np.testing.assert_allclose(metrics["kl"], kl, 1e-4)
    np.testing.assert_allclose(
        metrics["objective"], metrics["relaxed_elbo"] - 2 * kl, 1e-4, atol=1e-4
    )
    np.testing.assert_allclose(
        metrics["elbo"], metrics["reconstruction"] - metrics["kl"], 1e-4, atol=1e-4
    )


@discrete
def test_log_marginal_is_the_sum_over_latents(posterior):
    """Estimator: mean of K = 5,000 weights over p(x), whose variance enumeration gives.

    Mutant: relaxed samples in the evaluation, log q of another sample.
    """
    vae, params, data = model(posterior)

    def log_marginal(key, x):
        keys = jax.random.split(key, 5000)
        return importance_weighted_bound(sample_terms(keys, vae, params, x, None).log_weights)

    estimates = np.float64(jax.jit(jax.vmap(log_marginal))(jax.random.split(KEY, 8), data.x))
    exact = exact_log_marginals(posterior)
    log_q, log_likelihood, log_p = enumerate_terms(posterior)
    second_moment = np.exp(2 * (log_likelihood + log_p - exact[:, None]) - log_q).sum(-1)
    errors = np.sqrt((second_moment - 1) / 5000)
    assert np.all(np.abs(np.exp(estimates - exact) - 1) < 4 * errors)
    assert np.all(exact_elbos(posterior) < exact)
    assert np.all(np.abs(exact_elbos(posterior) - exact) > 0.05)


@discrete
@pytest.mark.parametrize("straight_through", [False, True])
def test_relaxed_elbo_tends_to_the_elbo(posterior, straight_through):
    """At a temperature of 0.001. With discrete values in the decoder it is so at every one.

    Estimator: the mean over 400 keys, four standard errors. Mutant: noise scaled by the
    temperature.
    """
    temperature = 1.0 if straight_through else 1e-3
    options = {"temperature": temperature, "straight_through": straight_through}
    metrics = metrics_of(posterior, **options)
    assert_mean_is(metrics["relaxed_elbo"], exact_elbos(posterior).mean())


# What one relaxed sample is.


def terms_and_latent(posterior, hard, temperatures=(0.7, 0.4)):
    """Return the terms of one relaxed sample of example 0, and what the decoder saw."""
    vae, params, data = model(posterior)
    seen = []

    def decode(params, z, y=None):
        seen.append(z)
        return vae.decode(params, z, y)

    spy = vae._replace(decode=decode)
    # One key is one sample, which is not mapped over.
    terms = relaxed_terms(KEY[None], spy, params, data.x[0], None, temperatures, hard)
    return terms, np.float64(seen[0])


def log_concrete(logits, z, temperature):
    """Return the density of z on the simplex: Eq. (10) of Maddison et al. (2017), float64."""
    n = z.shape[-1]
    scores = logits - (temperature + 1) * np.log(z)
    total = special.logsumexp(logits - temperature * np.log(z), axis=-1)
    per_variable = scores.sum(-1) - n * total + math.lgamma(n) + (n - 1) * np.log(temperature)
    return per_variable.sum()


def log_binary_concrete(logits, z, temperature):
    """Return the density of z in (0, 1): Eq. (24) of Maddison et al. (2017), in float64."""
    alpha = np.exp(logits)
    top = temperature * alpha * (z * (1 - z)) ** (-temperature - 1)
    return np.log(top / (alpha * z**-temperature + (1 - z) ** -temperature) ** 2).sum()


@discrete
def test_concrete_kl_is_that_of_the_densities(posterior):
    """log q - log p of the sample on the simplex: the change of variables leaves it.

    Mutants: one temperature for both, the discrete log-probabilities of a relaxed sample.
    """
    vae, params, data = model(posterior)
    terms, z = terms_and_latent(posterior, hard=False)
    density = {"categorical": log_concrete, "bernoulli": log_binary_concrete}[posterior]
    logits = np.float64(vae.encode(params, data.x[0]).logits)
    expected = density(logits, z, 0.7) - density(0 * logits, z, 0.4)
    log_ratio = terms.log_posterior - terms.log_prior
    assert log_ratio.shape == (1,)
    np.testing.assert_allclose(log_ratio[0], expected, 1e-3)


@pytest.mark.slow
@discrete
def test_concrete_kl_is_in_the_objective(posterior):
    """Of four samples at one key, and beta weighs it. Mutant: the closed form whatever `kl` is."""
    options = {"kl": "concrete", "prior_temperature": 0.4, "temperature": 0.7, "num_samples": 4}
    once, twice = (metrics_of(posterior, 3, beta=beta, **options) for beta in (1.0, 2.0))
    np.testing.assert_array_equal(once["objective"], once["relaxed_elbo"])
    kls = once["objective"] - twice["objective"]
    vae, params, data = model(posterior)

    def log_ratio(key, x):
        terms = relaxed_terms(key[None], vae, params, x, None, (0.7, 0.4), False)
        return terms.log_posterior[0] - terms.log_prior[0]

    # The keys are those that the objective splits: by batch, by example, by purpose, by sample.
    def kl_of_batch(key):
        keys = jax.vmap(lambda k: jax.random.split(jax.random.split(k)[0], 4))(
            jax.random.split(key, 8)
        )
        return jnp.mean(jax.vmap(jax.vmap(log_ratio, (0, None)))(keys, data.x))

    expected = jax.jit(jax.vmap(kl_of_batch))(jax.random.split(KEY, 3))
    np.testing.assert_allclose(kls, expected, 1e-3)
    np.testing.assert_array_less(1e-3, np.abs(kls - once["kl"]))


@pytest.mark.slow
@discrete
def test_straight_through_decodes_discrete_values(posterior):
    """Oracle of the gradient: d log p(x|z)/dz at the discrete z, times dz/dparams, relaxed.

    Mutants: a relaxed value in the decoder, a gradient that ends at the discrete one.
    """
    vae, params, data = model(posterior)
    _, relaxed = terms_and_latent(posterior, hard=False)
    _, hard = terms_and_latent(posterior, hard=True)
    nearest = np.round(relaxed) if posterior == "bernoulli" else np.eye(3)[relaxed.argmax(-1)]
    np.testing.assert_allclose(hard, nearest, atol=1e-6)
    assert np.all(np.abs(relaxed - nearest).max(-1) > 1e-3)

    def log_likelihood(logits, is_hard):
        encode = functools.partial(type(vae.encode(params, data.x[0])), logits)
        spy = vae._replace(encode=lambda *_: encode())
        terms = relaxed_terms(KEY[None], spy, params, data.x[0], None, (0.7, 0.4), is_hard)
        return terms.log_likelihood[0]

    logits = vae.encode(params, data.x[0]).logits
    gradient = jax.grad(log_likelihood)(logits, True)
    by_z = jax.grad(lambda z: vae.decode(params, z).log_prob(data.x[0]))(jnp.float32(nearest))
    q = type(vae.encode(params, data.x[0]))

    def latent(logits):
        relaxed = q(logits).relaxed(0.7)
        return relaxed.latent(relaxed.sample(KEY))

    _, pull_back = jax.vjp(latent, logits)
    np.testing.assert_allclose(gradient, pull_back(by_z)[0], 1e-4, atol=1e-6)
    assert not np.allclose(gradient, jax.grad(log_likelihood)(logits, False), 1e-3, atol=1e-6)


# The temperature.


@pytest.mark.parametrize("step", [0, 1000, 10**6])
def test_temperature_is_a_function_of_the_step(step):
    """max(0.3, 2 exp(-0.001 step)) for every key. Mutants: a decay an epoch, no minimum."""
    schedule = {"min_temperature": 0.3, "temperature_decay": 1e-3}
    metrics = metrics_of("bernoulli", 2, step=step, temperature=2.0, **schedule)
    expected = max(0.3, 2 * math.exp(-1e-3 * step))
    np.testing.assert_allclose(metrics["temperature"], expected, 1e-5)
    still = metrics_of("bernoulli", 2, temperature=expected, **schedule)
    np.testing.assert_allclose(metrics["objective"], still["objective"], 1e-4)


@pytest.mark.slow
def test_swept_temperature_is_the_given_one():
    """A start below the minimum stays. Mutant: a minimum that the config's own start decides."""
    swept = metrics_of("bernoulli", 2, temperature=0.1)
    vae, params, data = model("bernoulli")
    alone = make_objective("concrete", temperature=0.1)
    key = jax.random.split(KEY, 2)[0]
    params = {"vae": params, "objective": {}}
    loss, metrics = alone.loss(key, vae, params, alone.hparams, data, 0)
    np.testing.assert_allclose(swept["temperature"], 0.1, 1e-6)
    np.testing.assert_allclose(metrics["temperature"], 0.1, 1e-6)
    np.testing.assert_allclose(swept["loss"][0], loss, 1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": 0.0}, "temperature must be above 0"),
        ({"prior_temperature": -1.0}, "prior_temperature must be above 0"),
        ({"min_temperature": math.nan}, "min_temperature must be above 0"),
        ({"temperature_decay": -1.0}, "temperature_decay must be >= 0"),
        ({"beta": -1.0}, "beta must be >= 0"),
        ({"num_samples": 0}, "num_samples must be >= 1"),
        ({"kl": "concret"}, "did you mean 'concrete'"),
    ],
)
def test_bad_numbers_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        make_objective("concrete", **options)


# Estimators that need no gradient through z: the exact gradient is a sum over every z.

ESTIMATED = {
    "score_function": ("elbo", {}),
    "leave_one_out": ("elbo", {"num_samples": 2}),
    "vimco": ("iwae", {"num_samples": 2}),
    "wake_sleep": ("iwae", {"num_samples": 2}),
}
PAIRS = tuple(np.array(list(itertools.product(range(9), repeat=2))).T)


def log_joint_and_posterior(params, x):
    """Return log p(x, z) and log q(z|x) of all nine z, as functions of the parameters."""
    vae, _, _ = model("categorical")
    zs = jnp.float32(list(itertools.product(np.eye(3), repeat=2)))
    log_q = jnp.einsum("znk,nk->z", zs, jax.nn.log_softmax(vae.encode(params, x).logits))
    log_p = jax.vmap(lambda z: vae.decode(params, z).log_prob(x))(zs) - jnp.log(9.0)
    return log_p, log_q


def exact_elbo(params, x):
    """Return the ELBO of one example by enumeration."""
    log_p, log_q = log_joint_and_posterior(params, x)
    return jnp.sum(jnp.exp(log_q) * (log_p - log_q))


def exact_iwae(params, x):
    """Return the expectation of the bound of K = 2 samples by enumeration of all 81 pairs."""
    log_p, log_q = log_joint_and_posterior(params, x)
    log_w = log_p - log_q
    bounds = jnp.logaddexp(log_w[PAIRS[0]], log_w[PAIRS[1]]) - jnp.log(2.0)
    return jnp.sum(jnp.exp(log_q[PAIRS[0]] + log_q[PAIRS[1]]) * bounds)


def exact_wake_sleep(params, x):
    """Return what has the expected gradient of wake-sleep: E sum_k w_k grad log q(z_k) for
    the encoder, that of the bound for the model."""
    encoder = {"encoder": params["encoder"]}
    others = jax.lax.stop_gradient(params)
    log_p, log_q = jax.lax.stop_gradient(log_joint_and_posterior(params, x))
    log_w = (log_p - log_q)[jnp.array(PAIRS)]
    weights = jnp.exp(jnp.sum(log_q[jnp.array(PAIRS)], axis=0)) * jax.nn.softmax(log_w, axis=0)
    scores = log_joint_and_posterior(others | encoder, x)[1][jnp.array(PAIRS)]
    bound = exact_iwae(params | jax.lax.stop_gradient(encoder), x)
    return bound + jnp.sum(weights * scores)


EXACT = {
    "score_function": exact_elbo,
    "leave_one_out": exact_elbo,
    "vimco": exact_iwae,
    "wake_sleep": exact_wake_sleep,
}


def exact_gradients(estimator):
    """Return the expected gradients [1, numbers] of encoder and model, of two examples."""
    _, params, data = model("categorical")

    def mean(params):
        return jnp.mean(jax.vmap(EXACT[estimator], (None, 0))(params, data.x[:2]))

    return split(jax.tree.map(lambda leaf: leaf[None], jax.jit(jax.grad(mean))(params)))


def estimated_gradients(estimator):
    """Return the gradients [keys, numbers] of encoder and model on N = 8,000 keys."""
    name, options = ESTIMATED[estimator]
    vae, params, data = model("categorical")
    batch = jax.tree.map(lambda leaf: leaf[:2], data)
    objective = make_objective(name, estimator=estimator, **options)
    return split(make_gradients(objective, vae, batch)(params, KEYS, {})[1])


def assert_gradients_are_exact(estimator):
    """Estimator: the mean over N = 8,000 keys of four fixed projections; four standard errors."""
    pairs = zip(estimated_gradients(estimator), exact_gradients(estimator), strict=True)
    for estimated, exact in pairs:
        assert_mean_is(project(estimated), project(exact)[0])
        assert np.all(np.abs(project(exact)) > 1e-3)


@pytest.mark.parametrize("estimator", quick(ESTIMATED, "score_function", "vimco"))
def test_gradient_of_discrete_latents_is_exact(estimator):
    """`assert_gradients_are_exact`; the learned baseline is a random network.

    Mutants: a score forgotten or turned, a baseline whose own gradient reaches the encoder, the
    bound's gradient for wake-sleep's encoder; and the two below.
    """
    assert_gradients_are_exact(estimator)


def with_own_sample_in_the_baseline(estimation):
    """The leave-one-out estimator with the mean of all log-weights as the baseline of each."""
    terms, _ = estimation.draw(stop=("samples",))
    log_weights = jax.lax.stop_gradient(terms.log_weights)
    signals = (log_weights - jnp.mean(log_weights)) / len(log_weights)
    score = jnp.sum(signals * terms.log_posterior)
    return estimation.bound(terms) + score - jax.lax.stop_gradient(score), terms


def with_weights_as_they_are(estimation):
    """Wake-sleep with weights relative to the largest, which do not sum to one."""
    terms, _ = estimation.draw(stop=("samples",))
    log_weights = jax.lax.stop_gradient(terms.log_weights)
    fit = jnp.sum(jnp.exp(log_weights - jnp.max(log_weights)) * terms.log_posterior)
    of_model = terms._replace(log_posterior=jax.lax.stop_gradient(terms.log_posterior))
    return estimation.bound(of_model) + fit - jax.lax.stop_gradient(fit), terms


@pytest.mark.slow
@pytest.mark.parametrize(
    ("estimator", "mutant"),
    [
        ("leave_one_out", with_own_sample_in_the_baseline),
        ("wake_sleep", with_weights_as_they_are),
    ],
)
def test_mutants_of_discrete_gradients_are_rejected(estimator, mutant, monkeypatch):
    """By the test above, with as many keys."""
    row = ESTIMATORS[estimator]._replace(make=mutant)
    monkeypatch.setitem(ESTIMATORS, estimator, row)
    with pytest.raises(AssertionError):
        assert_gradients_are_exact(estimator)
