"""Bounds on log p(x) against an exactly solvable model, and the contract of every objective."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from tests.support.linear_gaussian import (
    FullGaussian,
    assert_mean_is,
    gaussian_kl,
    make_model,
    make_vae,
)
import numpy as np
import pytest
from scipy import special, stats

from vae_jax.distributions import Bernoulli, Gaussian, kl_divergence, standard_normal
from vae_jax.models import VAE
from vae_jax.objectives import (
    OBJECTIVES,
    Terms,
    closed_form_rate,
    distortion,
    elbo,
    importance_weighted_bound,
    make_objective,
    rate,
    sample_terms,
)

KEY = jax.random.key(0)
MODEL, FULL_MODEL = make_model(), make_model(orthogonal=False)
X = MODEL.sample(seed=1, num_examples=1)[0]
LINEAR_VAE = make_vae(MODEL)

# The exact posterior moved away: a q(z|x) with a gap. Its moments are numpy's.
PARAMS = LINEAR_VAE.init(KEY, None)
PARAMS |= {"offset": PARAMS["offset"] + 0.3, "log_scale": PARAMS["log_scale"] + 0.2}
Q_MEAN = MODEL.posterior(X)[0] + 0.3
Q_COVARIANCE = MODEL.posterior(X)[1] * np.exp(0.4)
# Another one, for the model whose exact posterior has a correlation.
FULL_Q = np.array([0.7, -0.4]), np.array([[0.5, 0.3], [0.3, 0.8]])


class Batch(NamedTuple):
    """What a data set hands to a loss."""

    x: Any
    y: Any = None


def draw(bound, num_replicates, num_samples=1, vae=LINEAR_VAE, params=PARAMS):
    """Return bound(terms of X) on so many independent keys."""

    def value(key):
        keys = jax.random.split(key, num_samples)
        return bound(sample_terms(keys, vae, params, jnp.float32(X), None))

    return jax.jit(jax.vmap(value))(jax.random.split(KEY, num_replicates))


# Bounds of terms made by hand: log p(x|z) = (-3, -5), log p(z) = (-1, -2), log q(z|x) = (1, 3).

HAND_TERMS = Terms(
    jnp.array([-3.0, -5.0]), jnp.array([-1.0, -2.0]), jnp.array([1.0, 3.0]), jnp.array(2.5)
)


def test_bounds_of_terms_made_by_hand():
    """Mutants: a sign turned, a sum over samples for the mean, beta on the likelihood."""
    assert distortion(HAND_TERMS) == 4.0
    assert rate(HAND_TERMS) == 2.5
    assert rate(HAND_TERMS, sampled_kl=True) == 3.5
    assert elbo(HAND_TERMS) == -6.5
    assert elbo(HAND_TERMS, beta=4.0) == -14.0
    assert elbo(HAND_TERMS, beta=4.0, sampled_kl=True) == -18.0
    np.testing.assert_array_equal(HAND_TERMS.log_weights, [-5.0, -10.0])


def test_rate_is_sampled_where_no_closed_form_exists():
    assert rate(HAND_TERMS._replace(closed_form_kl=None)) == 3.5


# The linear-Gaussian model: ELBO = log p(x) - KL(q || posterior).


def quadratic_points(mean, covariance):
    """Return 2 d points over which the mean of a quadratic function is its Gaussian expectation."""
    columns = np.sqrt(len(mean)) * np.linalg.cholesky(covariance).T
    return jnp.asarray(np.concatenate([mean + columns, mean - columns]))


@pytest.mark.parametrize("model", [MODEL, FULL_MODEL], ids=["diagonal", "full"])
@pytest.mark.parametrize("q_is_full", [False, True])
def test_elbo_is_log_marginal_less_kl_to_the_posterior(model, q_is_full):
    """Oracle: log p(x) - KL(q || p(z|x)) of the model, with the expectation taken exactly.

    The log-densities are quadratic in z, so their means over `quadratic_points` are exact.
    Mutants: a likelihood or a prior without its constant, the KL's sign turned, beta = 2.
    """
    mean, covariance = FULL_Q
    with jax.enable_x64(True):
        vae, x = make_vae(model), jnp.asarray(X)
        params = vae.init(KEY, None)
        if q_is_full:
            q = FullGaussian(jnp.asarray(mean), jnp.asarray(covariance))
        else:
            covariance = np.diag(np.diag(covariance))
            q = Gaussian(jnp.asarray(mean), jnp.asarray(0.5 * np.log(np.diag(covariance))))
        p, points = vae.prior(params), quadratic_points(mean, covariance)
        terms = Terms(
            jax.vmap(lambda z: vae.decode(params, z).log_prob(x))(points),
            jax.vmap(p.log_prob)(points),
            jax.vmap(q.log_prob)(points),
            closed_form_rate(q, p),
        )
        assert (terms.closed_form_kl is None) == q_is_full
        values = [elbo(terms, sampled_kl=True), elbo(terms)]
    gap = gaussian_kl(mean, covariance, *model.posterior(X))
    np.testing.assert_allclose(values, model.log_marginal(X) - gap, rtol=0, atol=1e-6)
    np.testing.assert_allclose(values, model.elbo(X, mean, covariance), rtol=0, atol=1e-6)


def test_kl_to_a_diagonal_posterior_is_the_gap():
    """Oracle: the model's log p(x) - ELBO. Mutant: KL(posterior || q)."""
    mean, covariance = MODEL.posterior(X)
    with jax.enable_x64(True):
        posterior = Gaussian(jnp.asarray(mean), jnp.asarray(0.5 * np.log(np.diag(covariance))))
        q = Gaussian(posterior.mean + 0.3, posterior.log_scale + 0.2)
        gap = np.array(kl_divergence(q, posterior))
    expected = MODEL.log_marginal(X) - MODEL.elbo(X, Q_MEAN, Q_COVARIANCE)
    np.testing.assert_allclose(gap, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("sampled_kl", [False, True])
def test_elbo_of_samples_has_the_exact_mean(sampled_kl):
    """Estimator: the mean of single-sample ELBOs, N = 10,000; four standard errors.

    Mutants: samples scaled by the variance, the KL's sign turned, log q of another draw.
    """
    values = draw(lambda terms: elbo(terms, sampled_kl=sampled_kl), 10_000)
    assert_mean_is(values, MODEL.elbo(X, Q_MEAN, Q_COVARIANCE))


def test_elbo_of_samples_from_a_full_posterior_has_the_exact_mean():
    """Estimator: the mean of single-sample ELBOs, N = 10,000; four standard errors.

    Mutant: the rate of a pair without a closed form taken for zero.
    """
    q, vae = FullGaussian(*map(jnp.float32, FULL_Q)), make_vae(FULL_MODEL)
    vae = vae._replace(encode=lambda params, x, y=None: q)
    values = draw(elbo, 10_000, vae=vae, params=vae.init(KEY, None))
    assert_mean_is(values, FULL_MODEL.elbo(X, *FULL_Q))


@pytest.mark.parametrize("model", [MODEL, FULL_MODEL], ids=["diagonal", "full"])
def test_exact_posterior_weighs_every_sample_alike(model):
    """Oracle: log w = log p(x) for each z, so the sampled ELBO has no variance; the other has.

    Mutants: any constant dropped, log q of another draw.
    """
    with jax.enable_x64(True):
        vae = make_vae(model)
        params = vae.init(KEY, None)
        if model is FULL_MODEL:
            q = FullGaussian(*map(jnp.asarray, model.posterior(X)))
            vae = vae._replace(encode=lambda params, x, y=None: q)
        draw_terms = jax.jit(lambda keys, x: sample_terms(keys, vae, params, x, None))
        terms = draw_terms(jax.random.split(KEY, 20), jnp.asarray(X))
        bounds = elbo(terms, sampled_kl=True), importance_weighted_bound(terms.log_weights)
        values = np.array([*terms.log_weights, *bounds])
        spread = float(jnp.std(terms.log_likelihood))
    np.testing.assert_allclose(values, model.log_marginal(X), rtol=0, atol=1e-6)
    assert spread > 0.1


def test_gradient_of_the_elbo_has_the_exact_mean():
    """Estimator: the mean gradient of single-sample ELBOs, N = 10,000; four standard errors.

    Oracle: dELBO/dmean = W'(x - b - W mean) / s^2 - mean and dELBO/d(log sigma) =
    1 - sigma^2 (diag(W'W) / s^2 + 1). Mutants: a sample whose gradient is stopped, a KL left out.
    """

    def value(params, key):
        return elbo(sample_terms(key[None], LINEAR_VAE, params, jnp.float32(X), None))

    keys = jax.random.split(KEY, 10_000)
    gradients = jax.jit(jax.vmap(jax.grad(value), in_axes=(None, 0)))(PARAMS, keys)
    weights, noise_variance = MODEL.weights, MODEL.noise_scale**2
    residual = X - MODEL.bias - weights @ Q_MEAN
    assert_mean_is(gradients["offset"], weights.T @ residual / noise_variance - Q_MEAN)
    curvature = np.diag(weights.T @ weights) / noise_variance + 1
    assert_mean_is(gradients["log_scale"], 1 - np.diag(Q_COVARIANCE) * curvature)


# The importance-weighted bound.


def test_importance_weighted_bound_is_a_logmeanexp():
    """Oracle: scipy's logsumexp - log K of each of N = 4,000 rows of K = 50 log-weights from
    N(0, 9); the mean over rows is 3.627 (a million rows of numpy) within four standard errors.

    Mutants: log K not subtracted, 7.54; the sum of normalized weights times log-weights, whose
    mean of 5.85 is above log E[w] = 4.5, which no bound exceeds.
    """
    log_weights = 3 * np.random.default_rng(0).normal(size=(4000, 50))
    values = jax.jit(jax.vmap(importance_weighted_bound))(jnp.float32(log_weights))
    np.testing.assert_allclose(values, special.logsumexp(log_weights, 1) - np.log(50), atol=1e-5)
    assert_mean_is(values, 3.627)
    assert np.mean(np.sum(special.softmax(log_weights, 1) * log_weights, 1)) > 4.5 > values.mean()


def test_importance_weighted_bound_neither_overflows_nor_vanishes():
    """Mutant: the log of a mean of exponentials."""
    for level in (-1e4, 1e4):
        assert importance_weighted_bound(jnp.full(8, level)) == pytest.approx(level)


def test_importance_weighted_bound_rises_with_k_to_log_marginal():
    """Estimators over N = 4,000 replicates, four standard errors each: the bound's mean, which
    rises with K; the mean of exp(bound - log p(x)), which is 1 for every K.

    Mutants: log K not subtracted, or of another number; a mean of log-weights (it does not rise).
    """
    log_weights = draw(lambda terms: terms.log_weights, 4000, num_samples=64)
    gaps = {}
    for num_samples in (1, 4, 16, 64):
        bounds = jax.jit(jax.vmap(importance_weighted_bound))(log_weights[:, :num_samples])
        gaps[num_samples] = np.asarray(bounds, np.float64) - MODEL.log_marginal(X)
        assert_mean_is(np.exp(gaps[num_samples]), 1)
    elbo_gap = gaussian_kl(Q_MEAN, Q_COVARIANCE, *MODEL.posterior(X))
    assert_mean_is(gaps[1], -elbo_gap)
    for fewer, more in ((1, 4), (4, 16), (16, 64)):
        rise = gaps[more] - gaps[fewer]
        assert rise.mean() > 4 * rise.std() / np.sqrt(len(rise))
    assert -0.05 * elbo_gap < gaps[64].mean() < 0


# The contract of every objective.

CASES = [
    ("elbo", {}),
    ("elbo", {"beta": 4.0, "num_samples": 3, "sampled_kl": True, "beta_warmup_steps": 10}),
    ("iwae", {"num_samples": 4}),
]
BATCH = Batch(jnp.float32(MODEL.sample(seed=2, num_examples=6)))


def evaluate(objective, key=KEY, vae=LINEAR_VAE, batch=BATCH, step=5, jit=jax.jit, **hparams):
    """Return (loss, metrics) on parameters as training has them."""
    params = {"vae": PARAMS, "objective": objective.init(KEY, vae, batch)}

    def loss(key, params, hparams, batch, step):
        return objective.loss(key, vae, params, hparams, batch, step)

    return jit(loss)(key, params, objective.hparams | hparams, batch, jnp.array(step))


@pytest.fixture(scope="module", params=CASES, ids=[name for name, _ in CASES])
def case(request):
    """Return (name, options, objective, (loss, metrics) of it) of each case."""
    name, options = request.param
    objective = make_objective(name, **options)
    return name, options, objective, evaluate(objective)


def test_every_objective_has_a_case():
    """Those of discrete latents have theirs in test_concrete."""
    continuous = {name for name in OBJECTIVES if not make_objective(name).relaxes}
    assert {name for name, _ in CASES} == continuous


def test_loss_is_the_objective_turned_and_metrics_hold_the_elbo(case):
    """Mutants: an objective to be minimised, "elbo" for a loss or for the beta-weighted value."""
    _, options, _, (loss, metrics) = case
    assert loss.shape == () and loss == -metrics["objective"]
    assert all(value.shape == () and np.isfinite(value) for value in metrics.values())
    np.testing.assert_allclose(metrics["elbo"], -metrics["distortion"] - metrics["rate"], 1e-5)
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


def test_iwae_of_one_sample_is_the_sampled_elbo():
    """Identity on one key; it fails for the rate in closed form, which shows that it can fail."""
    iwae, _ = evaluate(make_objective("iwae", num_samples=1))
    sampled, _ = evaluate(make_objective("elbo", sampled_kl=True))
    closed_form, _ = evaluate(make_objective("elbo"))
    np.testing.assert_allclose(iwae, sampled, 1e-5)
    assert abs(iwae - closed_form) > 0.01


def test_distortion_is_summed_over_pixels():
    """Oracle: 16 fair bits cost 16 log 2 nats. Mutants: a mean over pixels, or over rows."""
    vae = VAE(
        init=lambda key, examples: {},
        encode=lambda params, x, y=None: standard_normal(2),
        decode=lambda params, z, y=None: Bernoulli(jnp.zeros((4, 4))),
        prior=lambda params, y=None: standard_normal(2),
    )
    _, metrics = evaluate(make_objective("elbo"), vae=vae, batch=Batch(jnp.ones((3, 4, 4))))
    np.testing.assert_allclose(metrics["distortion"], 16 * np.log(2), 1e-6)
    np.testing.assert_allclose(metrics["objective"], -16 * np.log(2), 1e-6)


def test_condition_reaches_encoder_decoder_and_prior():
    """Oracle: q = p(z|y) = N(y, 1) has rate 0 and x = y is decoded exactly: -log(2 pi) for two
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
    assert metrics["rate"] == 0
    np.testing.assert_allclose(metrics["elbo"], -np.log(2 * np.pi), 1e-6)


def test_beta_warmup_is_a_function_of_the_step():
    """Oracle: 2 min(1, step / 100), read off the metrics; the reported ELBO keeps beta = 1.

    Mutants: a counter of calls, a warm-up that overshoots, a warmed-up beta in metrics["elbo"].
    """
    objective = make_objective("elbo", beta=2.0, beta_warmup_steps=100)

    def over_steps(loss):
        return jax.jit(jax.vmap(loss, in_axes=(None, None, None, None, 0)))

    _, metrics = evaluate(objective, step=[100, 0, 25, 10_000], jit=over_steps)
    betas = (-metrics["distortion"] - metrics["objective"]) / metrics["rate"]
    np.testing.assert_allclose(betas, [2, 0, 0.5, 2], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(metrics["elbo"], -metrics["distortion"] - metrics["rate"], 1e-5)


def test_beta_is_a_traced_number():
    """Oracle: a beta handed in as a number is the same as one given when the objective is made.

    Mutant: the default read instead of hparams.
    """
    built, handed = make_objective("elbo", beta=3.0), make_objective("elbo")
    assert built.hparams == {"beta": 3.0} and handed.hparams == {"beta": 1.0}
    assert evaluate(built)[0] == evaluate(handed, beta=3.0)[0]


# What is refused.


@pytest.mark.parametrize(
    "name, options, words",
    [
        ("ebo", {}, ["objective.name='ebo'", "did you mean 'elbo'", *sorted(OBJECTIVES)]),
        ("elbo", {"bta": 2.0}, ["'bta'", "'elbo'", "did you mean 'beta'", "num_samples"]),
        ("iwae", {"beta": 2.0}, ["'beta'", "'iwae'", "num_samples"]),
        ("elbo", {"beta": -1.0}, ["objective.beta ", ">= 0", "-1.0"]),
        ("elbo", {"beta": np.inf}, ["objective.beta ", "finite", "inf"]),
        ("elbo", {"beta": np.nan}, ["objective.beta ", "nan"]),
        ("elbo", {"num_samples": 0}, ["objective.num_samples", ">= 1", "0"]),
        ("iwae", {"num_samples": -3}, ["objective.num_samples", ">= 1", "-3"]),
        ("elbo", {"beta_warmup_steps": -1}, ["objective.beta_warmup_steps", ">= 0", "-1"]),
    ],
)
def test_bad_arguments_are_named_in_one_line(name, options, words):
    with pytest.raises(ValueError) as error:
        make_objective(name, **options)
    message = str(error.value)
    assert "\n" not in message
    assert all(word in message for word in words), message
