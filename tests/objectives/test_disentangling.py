"""beta-TCVAE and FactorVAE against exact aggregates by numpy and closed forms."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy import special, stats

from tests.support.bounds import BATCH, KEY, LINEAR_VAE, PARAMS, evaluate
from tests.support.linear_gaussian import assert_mean_is
from vae_jax.datasets import Examples
from vae_jax.distributions import Gaussian, standard_normal
from vae_jax.objectives import make_objective
from vae_jax.objectives.disentangling import (
    AGGREGATES,
    decompose,
    density_matrix,
    discriminator_loss,
    permute_dimensions,
)

NUM_EXAMPLES, NUM_LATENTS = 225, 2


def correlated_posteriors():
    """Return means and scales of q(z|x_n) whose means are correlated over the data set."""
    rng = np.random.default_rng(0)
    means = rng.normal(size=(NUM_EXAMPLES, NUM_LATENTS)) @ np.array([[1.0, 0.9], [0.0, 0.6]])
    return means, rng.uniform(0.2, 0.6, size=means.shape)


def independent_posteriors():
    """Return means on the whole of a grid, so that q(z) is exactly a product."""
    axis = np.random.default_rng(1).normal(size=15)
    means = np.stack(np.meshgrid(axis, axis), -1).reshape(NUM_EXAMPLES, NUM_LATENTS)
    return means, np.full(means.shape, 0.4)


def draw(means, scales, seed=2):
    """Return one sample of each posterior."""
    return means + scales * np.random.default_rng(seed).normal(size=means.shape)


def estimate(aggregate, zs, means, scales, dataset_size=NUM_EXAMPLES):
    """Return the decomposition of a batch of such posteriors, by the package."""
    qs = Gaussian(jnp.float32(means), jnp.float32(np.log(scales)))
    log_prior = jnp.float32(stats.norm.logpdf(zs).sum(-1))
    log_weights = AGGREGATES[aggregate](len(zs), dataset_size)
    return jax.jit(decompose)(density_matrix(qs, jnp.float32(zs)), log_prior, log_weights)


def exact_parts(zs, means, scales):
    """Return the three means over samples, with q(z) summed over the whole data set, by scipy."""
    log_densities = stats.norm.logpdf(zs[:, None], means[None], scales[None])
    count = len(means)
    log_posterior = stats.norm.logpdf(zs, means, scales).sum(-1)
    log_aggregate = special.logsumexp(log_densities.sum(-1), axis=1) - np.log(count)
    log_product = (special.logsumexp(log_densities, axis=1) - np.log(count)).sum(-1)
    log_prior = stats.norm.logpdf(zs).sum(-1)
    differences = log_posterior - log_aggregate, log_aggregate - log_product
    return [each.mean() for each in (*differences, log_product - log_prior)]


@pytest.mark.parametrize("posteriors", [correlated_posteriors, independent_posteriors])
def test_stratified_estimate_of_the_whole_data_set_is_exact(posteriors):
    """Oracle: q(z) summed over all examples by scipy in float64. MI <= log N, and TC = 0 where q(z)
    is a product.

    Mutants: log-weights added once per latent dimension, a sum over samples for one over examples.
    """
    means, scales = posteriors()
    zs = draw(means, scales)
    parts = estimate("minibatch_stratified", zs, means, scales)
    np.testing.assert_allclose(parts, exact_parts(zs, means, scales), rtol=1e-4, atol=1e-5)
    assert parts.index_code_mi <= np.log(NUM_EXAMPLES)
    if posteriors is independent_posteriors:
        assert abs(parts.total_correlation) < 1e-4
    else:
        assert parts.total_correlation > 0.1


@pytest.mark.parametrize("aggregate", AGGREGATES)
def test_estimates_of_the_aggregate_density(aggregate):
    """Estimator: the mean over 4,000 batches of 8 of the estimate of q(z), z of the batch's first
    example, divided by the exact one; four standard errors.

    The stratified estimate has the mean 1. Of the weighted one, it is the average of 1 / N of the
    own density and the mean over others, in the weights of 1 / (N B) each. Mutants: a column for
    the diagonal, others drawn with the weight 1 / B, log N forgotten.
    """
    means, scales = correlated_posteriors()
    rng, batch_size = np.random.default_rng(3), 8
    z = draw(means, scales)[0]
    own = np.exp(stats.norm.logpdf(z, means, scales).sum(-1))
    others = np.array(
        [rng.choice(NUM_EXAMPLES - 1, batch_size - 1, replace=False) + 1 for _ in range(4000)]
    )
    batches = np.insert(others, 3, 0, axis=1)  # in the place 3, which no weight should depend on
    log_weights = np.float64(AGGREGATES[aggregate](batch_size, NUM_EXAMPLES))
    estimates = np.exp(log_weights[3]) @ own[batches].T / own.mean()
    if aggregate == "minibatch_stratified":
        assert_mean_is(estimates, 1.0)
    else:
        expected = own[0] + (batch_size - 1) * own[1:].mean()
        assert_mean_is(estimates, expected / (NUM_EXAMPLES * batch_size) / own.mean())


@pytest.mark.parametrize("aggregate", AGGREGATES)
def test_estimates_of_distinct_and_of_collapsed_codes(aggregate):
    """Oracle: with codes far apart only the own density counts, with equal ones all do.

    MI of distinct codes is log N, weighted log(N B); of a collapsed code 0, weighted log N.
    Mutant: a column for the diagonal, by which MI is capped at log(B - 1).
    """
    batch_size, dataset_size = 10, 5000
    scales = np.ones((batch_size, NUM_LATENTS))
    distinct = 1000.0 * np.arange(batch_size)[:, None] * scales
    is_weighted = aggregate == "minibatch_weighted"
    parts = estimate(aggregate, draw(distinct, scales), distinct, scales, dataset_size)
    ceiling = np.log(dataset_size * (batch_size if is_weighted else 1))
    np.testing.assert_allclose(parts.index_code_mi, ceiling, rtol=1e-5)
    parts = estimate(aggregate, draw(0 * scales, scales), 0 * scales, scales, dataset_size)
    floor = np.log(dataset_size) if is_weighted else 0
    np.testing.assert_allclose(parts.index_code_mi, floor, rtol=1e-5, atol=1e-5)


def test_weighted_estimate_has_its_known_offsets():
    """Oracle: with the whole data set as the batch, q(z) is estimated as q(z) / N.

    So MI is log N too large, TC (D - 1) log N, and the dimension-wise KL D log N too small.
    Mutants: 1 / B instead of 1 / (N B), log-weights added once per latent dimension.
    """
    means, scales = independent_posteriors()
    zs = draw(means, scales)
    offsets = np.array([1, NUM_LATENTS - 1, -NUM_LATENTS]) * np.log(NUM_EXAMPLES)
    parts = estimate("minibatch_weighted", zs, means, scales)
    expected = exact_parts(zs, means, scales) + offsets
    np.testing.assert_allclose(parts, expected, rtol=1e-4, atol=1e-4)


# The objective beta_tcvae, of 6 examples out of 50.

OPTIONS = {"dataset_size": 50}


@pytest.mark.parametrize("aggregate", AGGREGATES)
def test_parts_add_up_to_the_kl(aggregate):
    """Of the same samples, whatever the estimate. Mutants: two draws of z, a part with its sign
    turned, the closed-form KL in the metrics."""
    _, metrics = evaluate(make_objective("beta_tcvae", aggregate=aggregate, **OPTIONS))
    names = ("index_code_mi", "total_correlation", "dimension_wise_kl")
    np.testing.assert_allclose(metrics["kl"], sum(metrics[name] for name in names), rtol=1e-5)


def test_beta_tcvae_of_unit_weights_is_the_elbo():
    """On the same key, by the ELBO's own code. Mutant: samples of other keys."""
    ones = make_objective("beta_tcvae", beta=1.0, **OPTIONS)
    plain = make_objective("elbo", form="log_weights")
    np.testing.assert_allclose(evaluate(ones)[0], evaluate(plain)[0], rtol=1e-6)


def codes_of_batch():
    """Return (zs, means, scales) of BATCH as the objectives draw them on KEY, by a loop."""
    codes = []
    for key, x in zip(jax.random.split(KEY, len(BATCH.x)), BATCH.x, strict=True):
        q = LINEAR_VAE.encode(PARAMS, x)
        codes.append((q.sample(jax.random.split(key, 1)[0]), q.mean, jnp.exp(q.log_scale)))
    return map(np.float64, map(np.stack, zip(*codes, strict=True)))


def test_each_weight_is_of_its_part():
    """Oracle: the weighted parts by scipy, of the draws of a loop over examples.

    Mutants: beta and gamma exchanged, a weight that is read from the defaults.
    """
    zs, means, scales = codes_of_batch()
    # Of the data set of 6 examples that the batch is, the stratified estimate is exact.
    mi, total_correlation, kl = exact_parts(zs, means, scales)
    objective = make_objective("beta_tcvae", dataset_size=6)
    loss, metrics = evaluate(objective, alpha=0.5, beta=3.0, gamma=2.0)
    cost = 0.5 * mi + 3 * total_correlation + 2 * kl
    np.testing.assert_allclose(loss, cost - metrics["reconstruction"], rtol=1e-4)


@pytest.mark.parametrize("dataset_size", [0, 5])
def test_data_set_of_unknown_size_is_refused(dataset_size):
    objective = make_objective("beta_tcvae", dataset_size=dataset_size)
    with pytest.raises(ValueError, match="number of training examples, such as") as error:
        evaluate(objective)
    assert f"got {dataset_size}" in str(error.value) and "\n" not in str(error.value)


# FactorVAE.


@functools.cache
def factor_gradients():
    """Return {what: its gradient by all parameters}, of a FactorVAE of gamma = 7."""
    objective = make_objective("factor_vae", gamma=7.0, discriminator_hidden=(8,))
    own = objective.init(KEY, LINEAR_VAE, BATCH)
    params = {"vae": PARAMS, "objective": own}

    def values(params):
        loss, metrics = objective.loss(KEY, LINEAR_VAE, params, objective.hparams, BATCH, 0)
        model_loss = 7.0 * metrics["total_correlation"] - metrics["elbo"]
        return {
            "loss": loss,
            "model": model_loss,
            "discriminator": metrics["discriminator_loss"],
        }

    return jax.jit(values)(params), jax.jit(jax.jacrev(values))(params)


def test_neither_loss_of_a_factor_vae_reaches_the_others_parameters():
    """Exactly zero, both ways. Mutants: a sample of z without stop_gradient in the discriminator's
    loss, a discriminator without it in the total correlation."""
    _, gradients = factor_gradients()
    for leaf in jax.tree.leaves(gradients["discriminator"]["vae"]):
        np.testing.assert_array_equal(leaf, 0)
    for leaf in jax.tree.leaves(gradients["model"]["objective"]):
        np.testing.assert_array_equal(leaf, 0)


@pytest.mark.slow
def test_the_loss_of_a_factor_vae_trains_both():
    """Its gradient is that of the ELBO less gamma times the total correlation for the model, and
    that of the discriminator's loss, times 1, for the discriminator; its value is the former's.

    Mutants: the discriminator's loss in the value, turned, or weighed by gamma.
    """
    values, gradients = factor_gradients()
    np.testing.assert_allclose(values["loss"], values["model"], rtol=1e-5)
    for part, loss in (("vae", "model"), ("objective", "discriminator")):
        expected = jax.tree.leaves(gradients[loss][part])
        for a, b in zip(jax.tree.leaves(gradients["loss"][part]), expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
        assert all(np.any(leaf != 0) for leaf in expected)


def test_permuted_codes_keep_their_marginals_and_lose_their_dependence():
    """Oracle: sorted columns; the correlation of 4,000 pairs within four standard errors of 0.

    Mutant: one permutation for all dimensions.
    """
    zs = np.random.default_rng(0).normal(size=(4000, 1)) * np.array([1.0, -1.0, 2.0])
    permuted = np.asarray(permute_dimensions(KEY, jnp.float32(zs)))
    np.testing.assert_array_equal(np.sort(permuted, 0), np.sort(np.float32(zs), 0))
    correlations = np.corrcoef(permuted.T)[np.triu_indices(3, 1)]
    assert np.all(np.abs(correlations) < 4 / np.sqrt(4000))


def test_discriminator_loss_is_the_cross_entropy():
    """Oracle: Bernoulli log-probabilities by scipy. Mutant: the two kinds of codes exchanged."""
    joint, product = np.array([0.5, 2.0]), np.array([-1.0, 3.0])
    right = np.concatenate(
        [special.expit(joint), 1 - special.expit(product)]
    )  # probability of the truth
    value = discriminator_loss(jnp.float32(joint), jnp.float32(product))
    np.testing.assert_allclose(value, -np.mean(np.log(right)), rtol=1e-5)


@pytest.mark.slow
def test_discriminator_finds_the_total_correlation_of_correlated_gaussians():
    """Oracle: -log(det R) / 2 = .51 nats, of a correlation of .8.

    Estimator: the metric on 4,000 fresh codes after 500 steps of Adam, of the objective's own loss.
    The discriminator is no exact one: .1 nats are allowed for it. Mutants: codes of the batch in
    the place of permuted ones (0), a discriminator's loss turned.
    """
    objective = make_objective("factor_vae", discriminator_hidden=(32,))
    vae = LINEAR_VAE._replace(
        encode=lambda params, x, y=None: Gaussian(x, jnp.full(2, -5.0)),
        decode=lambda params, z, y=None: standard_normal(2),
    )
    factor = jnp.float32(np.linalg.cholesky([[1, 0.8], [0.8, 1]]))
    params = {"vae": {}, "objective": objective.init(KEY, vae, Examples(jnp.zeros((2, 2))))}
    optimizer = optax.adam(5e-3)

    def loss(params, key, batch_size):
        key_x, key = jax.random.split(key)
        batch = Examples(jax.random.normal(key_x, (batch_size, 2)) @ factor.T)
        return objective.loss(key, vae, params, objective.hparams, batch, 0)

    def step(carry, key):
        params, state = carry
        gradient, _ = jax.grad(loss, has_aux=True)(params, key, 256)
        updates, state = optimizer.update(gradient, state)
        return (optax.apply_updates(params, updates), state), None

    @jax.jit
    def train(params):
        keys = jax.random.split(KEY, 501)
        (params, _), _ = jax.lax.scan(step, (params, optimizer.init(params)), keys[:-1])
        return loss(params, keys[-1], 4000)[1]

    metrics = train(params)
    exact = -0.5 * np.log(1 - 0.8**2)
    np.testing.assert_allclose(metrics["total_correlation"], exact, atol=0.1)
    assert 0.6 < metrics["discriminator_accuracy"] < 0.8
    assert 0.5 < metrics["discriminator_loss"] < np.log(2)
