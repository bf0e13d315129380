"""The ELBO against an exactly solvable model: ELBO = log p(x) - KL(q || posterior)."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.support.bounds import (
    FULL_MODEL,
    FULL_Q,
    HAND_TERMS,
    KEY,
    LINEAR_VAE,
    MODEL,
    PARAMS,
    Q_COVARIANCE,
    Q_MEAN,
    X,
    draw,
    evaluate,
)
from tests.support.gradients import linear_gradients
from tests.support.linear_gaussian import FullGaussian, assert_mean_is, gaussian_kl, make_vae
from vae_jax.distributions import Gaussian
from vae_jax.objectives import (
    Terms,
    closed_form_kl,
    elbo,
    make_objective,
    sample_terms,
)


def test_elbo_of_terms_made_by_hand():
    """Mutants: a sign turned, beta on the likelihood, beta on the closed form alone."""
    assert elbo(HAND_TERMS) == -6.5
    assert elbo(HAND_TERMS, beta=4.0) == -14.0
    assert elbo(HAND_TERMS, beta=4.0, sampled_kl=True) == -18.0


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
            closed_form_kl(q, p),
        )
        assert (terms.closed_form_kl is None) == q_is_full
        values = [elbo(terms, sampled_kl=True), elbo(terms)]
    gap = gaussian_kl(mean, covariance, *model.posterior(X))
    np.testing.assert_allclose(values, model.log_marginal(X) - gap, rtol=0, atol=1e-6)
    np.testing.assert_allclose(values, model.elbo(X, mean, covariance), rtol=0, atol=1e-6)


@pytest.mark.parametrize("sampled_kl", [False, True])
def test_elbo_of_samples_has_the_exact_mean(sampled_kl):
    """Estimator: the mean of single-sample ELBOs, N = 10,000; four standard errors.

    Mutants: samples scaled by the variance, the KL's sign turned, log q of another draw.
    """
    values = draw(lambda terms: elbo(terms, sampled_kl=sampled_kl), 10_000)
    assert_mean_is(values, MODEL.elbo(X, Q_MEAN, Q_COVARIANCE))


def test_elbo_of_samples_from_a_full_posterior_has_the_exact_mean():
    """Estimator: the mean of single-sample ELBOs, N = 10,000; four standard errors.

    Mutant: the KL of a pair without a closed form taken for zero.
    """
    q, vae = FullGaussian(*map(jnp.float32, FULL_Q)), make_vae(FULL_MODEL)
    vae = vae._replace(encode=lambda params, x, y=None: q)
    values = draw(elbo, 10_000, vae=vae, params=vae.init(KEY, None))
    assert_mean_is(values, FULL_MODEL.elbo(X, *FULL_Q))


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


# Beta and its warm-up.


def test_beta_warmup_is_a_function_of_the_step():
    """Oracle: 2 min(1, step / 100), read off the metrics; the reported ELBO keeps beta = 1.

    Mutants: a counter of calls, a warm-up that overshoots, a warmed-up beta in metrics["elbo"].
    """
    objective = make_objective("elbo", beta=2.0, beta_warmup_steps=100)

    def over_steps(loss):
        return jax.jit(jax.vmap(loss, in_axes=(None, None, None, None, 0)))

    _, metrics = evaluate(objective, step=[100, 0, 25, 10_000], jit=over_steps)
    betas = (metrics["reconstruction"] - metrics["objective"]) / metrics["kl"]
    np.testing.assert_allclose(betas, [2, 0, 0.5, 2], rtol=1e-4, atol=1e-4)
    expected = metrics["reconstruction"] - metrics["kl"]
    np.testing.assert_allclose(metrics["elbo"], expected, 1e-5)


def test_beta_is_a_traced_number():
    """Oracle: a beta handed in as a number is the same as one given when the objective is made.

    Mutant: the default read instead of hparams.
    """
    built, handed = make_objective("elbo", beta=3.0), make_objective("elbo")
    assert built.hparams == {"beta": 3.0} and handed.hparams == {"beta": 1.0}
    assert evaluate(built)[0] == evaluate(handed, beta=3.0)[0]


def test_beta_cycles_are_a_function_of_the_step():
    """Oracle: 2 min(1, (step mod 100) / 50), read off the metrics; the reported ELBO has beta = 1.

    Mutants: cycles that are not handed on, a cyclic beta in metrics["elbo"].
    """
    objective = make_objective("elbo", beta=2.0, beta_warmup_steps=50, beta_cycle_steps=100)

    def over_steps(loss):
        return jax.jit(jax.vmap(loss, in_axes=(None, None, None, None, 0)))

    _, metrics = evaluate(objective, step=[0, 25, 99, 100, 10_010], jit=over_steps)
    betas = (metrics["reconstruction"] - metrics["objective"]) / metrics["kl"]
    np.testing.assert_allclose(betas, [0, 1, 2, 0, 0.4], rtol=1e-4, atol=1e-4)
    expected = metrics["reconstruction"] - metrics["kl"]
    np.testing.assert_allclose(metrics["elbo"], expected, 1e-5)


# Free bits and the capacity: gradients are those of an ELBO with another beta, on the same keys.


def kl_of_each_dimension():
    """Return KL(q || p(z)) of each dimension for X, by numpy."""
    variance = np.diag(Q_COVARIANCE)
    return 0.5 * (Q_MEAN**2 + variance - 1 - np.log(variance))


def assert_same_gradients(gradients, others, names):
    for name in names:
        np.testing.assert_allclose(gradients[name], others[name], 1e-3, atol=1e-3)


def test_free_bits_pay_no_gradient_below_the_threshold():
    """Oracle: the ELBO with beta = 0 where both dimensions are below it, beta where both are above,
    one of each for a threshold between them.

    Mutants: the minimum for the maximum, a threshold on the sum over dimensions, beta on the
    threshold alone.
    """
    low, high = np.sort(kl_of_each_dimension())
    assert high > low + 0.1
    order = np.argsort(kl_of_each_dimension())
    plain, free, between = (
        linear_gradients("free_bits", hparams={"free_bits": bits, "beta": 3.0})
        for bits in (0.0, high + 1, (low + high) / 2)
    )
    no_kl, whole_kl = (
        linear_gradients("elbo", form="closed_form_kl", hparams={"beta": beta}, num_samples=1)
        for beta in (0.0, 3.0)
    )
    names = ("offset", "log_scale", "gain", "weights", "bias")
    assert_same_gradients(free[1], no_kl[1], names)
    assert_same_gradients(plain[1], whole_kl[1], names)
    np.testing.assert_allclose(free[0], no_kl[0] - 3 * 2 * (high + 1), 1e-4)
    for dimension, expected in zip(order, (no_kl, whole_kl), strict=True):
        np.testing.assert_allclose(
            between[1]["offset"][:, dimension], expected[1]["offset"][:, dimension], 1e-3, 1e-3
        )
    assert np.abs(no_kl[1]["offset"] - whole_kl[1]["offset"]).min() > 0.1


def test_capacity_pulls_the_kl_from_both_sides():
    """Oracle: the gradient of the ELBO with beta = -gamma below C, gamma above, after the growth;
    at C = KL the objective is the reconstruction.

    Mutants: a hinge for the absolute value, the square of it, C at its end from step 0.
    """
    total = kl_of_each_dimension().sum()
    for capacity, beta in ((total + 1, -5.0), (total - 0.2, 5.0)):
        traced = {"capacity": capacity, "gamma": 5.0}
        values, gradients = linear_gradients("capacity", capacity_steps=0, hparams=traced)
        expected_values, expected = linear_gradients(
            "elbo", form="closed_form_kl", hparams={"beta": beta}, num_samples=1
        )
        assert_same_gradients(gradients, expected, ("offset", "log_scale", "gain", "bias"))
        np.testing.assert_allclose(values, expected_values + beta * capacity, 1e-3, atol=1e-3)
    reconstruction = linear_gradients(
        "elbo", form="closed_form_kl", hparams={"beta": 0.0}, num_samples=1
    )
    values, _ = linear_gradients("capacity", capacity_steps=0, hparams={"capacity": total})
    np.testing.assert_allclose(values, reconstruction[0], 1e-3, atol=1e-3)
    # At step 0 of a growth C is 0.
    growing, _ = linear_gradients("capacity", hparams={"capacity": 100.0, "gamma": 5.0})
    np.testing.assert_allclose(growing, reconstruction[0] - 5 * total, 1e-3, atol=1e-3)
