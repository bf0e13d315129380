"""Every posterior and prior that `make_vae` makes keeps the contract of a distribution.

The tests run over the tables themselves: a new row is tested, or fails for lack of an entry here.
Oracles: quadrature over a grid, enumeration, and samples within four standard errors.
"""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from tests.support.linear_gaussian import assert_mean_is
from tests.support.quick import quick
from tests.support.rows import (
    KEY,
    LATENT_DIM,
    PAIR_COVER,
    PAIRS,
    SMALL,
    make_model,
    partner,
    set_encoder_outputs,
)
from vae_jax.distributions import Distribution
from vae_jax.models import POSTERIORS, PRIORS
from vae_jax.objectives import relaxed_terms, sample_terms

NUM_SAMPLES = 4000

# Of the others each has a test of its family.
QUICK = ("gaussian", "coupling", "two_layers", "categorical")
posteriors = pytest.mark.parametrize("posterior", POSTERIORS)
priors = pytest.mark.parametrize("prior", PRIORS)


# What values are, as real coordinates u: {values: (axis of u, dimensions, u -> (z, log|dz/du|),
# z -> u)}. A Dirichlet's density is one of all entries but the last.


def _real(u):
    return u, 0.0


def _positive(u):
    return np.exp(u), u.sum(-1)


def _unit(u):
    return special.expit(u), (special.log_expit(u) + special.log_expit(-u)).sum(-1)


def _simplex(u):
    z = special.expit(u)
    return np.concatenate([z, 1 - z], -1), _unit(u)[1]


def _two_layers(u):
    return (u[:, :2], u[:, 2:]), 0.0


COORDINATES = {
    "real": (np.linspace(-8, 8, 161), 2, _real, lambda z: z),
    "positive": (np.linspace(-30, 8, 161), 2, _positive, np.log),
    "unit": (np.linspace(-14, 14, 161), 2, _unit, special.logit),
    "simplex": (np.linspace(-30, 30, 2001), 1, _simplex, lambda z: np.log(z[:, :1] / z[:, 1:])),
    "two layers": (np.linspace(-8, 8, 61), 3, _two_layers, lambda z: np.concatenate(z, -1)),
}


def quadrature(values, samples):
    """Return (z, log-weights) such that sum exp(log p(z) + log-weight) f(z) is E_p[f(z)].

    A Riemann sum of a smooth density whose tails are inside the box converges exponentially. Real
    numbers have the box of the samples: their mean, and multiples of the Cholesky factor.
    """
    axis, num_dimensions, from_real, to_real = COORDINATES[values]
    u = np.stack(np.meshgrid(*[axis] * num_dimensions), -1).reshape(-1, num_dimensions)
    log_volume = num_dimensions * np.log(axis[1] - axis[0])
    if values in ("real", "two layers"):
        drawn = to_real(samples)
        factor = np.linalg.cholesky(np.cov(drawn.T))
        u = drawn.mean(axis=0) + u @ factor.T
        log_volume += np.log(np.diag(factor)).sum()
    z, log_jacobian = from_real(u)
    return z, log_jacobian + log_volume + 0 * u[:, 0]


def enumeration(values):
    """Return every z, with log-weights of zero."""
    atoms = np.array([[0], [1]]) if values == "bits" else np.eye(SMALL["num_classes"])
    zs = np.array(list(itertools.product(atoms, repeat=LATENT_DIM)))
    zs = zs.reshape(len(zs), *([2] if values == "bits" else [2, SMALL["num_classes"]]))
    return zs, np.zeros(len(zs))


def statistics(values, z):
    """Return smooth, bounded functions of each z, which tell distributions apart."""
    if values not in COORDINATES:
        flat = np.reshape(z, (len(z), -1))
        return (flat[:, :, None] * flat[:, None, :]).reshape(len(z), -1)
    u = COORDINATES[values][3](z)
    frequencies = np.random.default_rng(0).normal(size=(u.shape[1], 8))
    return np.concatenate([np.cos(u @ frequencies), np.sin(u @ frequencies)], -1)


def check_density(distribution, values):
    """Check that a density integrates to one, and that samples have its expectations.

    Estimator: means of statistics over N = 4,000 draws, four standard errors.
    """
    samples = jax.jit(jax.vmap(distribution.sample))(jax.random.split(KEY, NUM_SAMPLES))
    samples = jax.tree.map(np.float64, samples)
    z, log_weights = quadrature(values, samples) if values in COORDINATES else enumeration(values)
    on_grid = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), z)
    log_probs = np.float64(jax.jit(jax.vmap(distribution.log_prob))(on_grid))
    weights = np.exp(log_probs + log_weights)
    np.testing.assert_allclose(weights.sum(), 1, rtol=2e-3)
    expected = weights @ statistics(values, z)
    assert_mean_is(statistics(values, samples), expected)


@pytest.mark.parametrize("posterior", quick(POSTERIORS, *QUICK))
def test_posterior_density_normalizes_and_is_that_of_its_samples(posterior):
    """Mutants: a flow's Jacobian turned, mean and scale exchanged between sample and density."""
    vae, params, data = make_model(*partner(posterior=posterior))
    check_density(vae.encode(params, data.x[1], data.y[1]), POSTERIORS[posterior].values)


@priors
def test_prior_density_normalizes_and_is_that_of_its_samples(prior):
    """Mutants: unnormalized weights, samples of the first component, layers exchanged."""
    posterior, _ = partner(prior=prior)
    vae, params, data = make_model(posterior, prior)
    check_density(vae.prior(params, data.y[1]), POSTERIORS[posterior].values)


@pytest.mark.slow
@pytest.mark.parametrize(("posterior", "prior"), PAIRS)
def test_every_pair_normalizes(posterior, prior):
    """The same of every legal pair: a VampPrior's components are each of the posteriors."""
    vae, params, data = make_model(posterior, prior, seed=1)
    for distribution in (vae.encode(params, data.x[1], data.y[1]), vae.prior(params, data.y[1])):
        check_density(distribution, POSTERIORS[posterior].values)


# Transformations.


def draw(distribution):
    """Return a draw, and two lists of what must be equal."""
    z, log_prob = distribution.sample_and_log_prob(KEY)
    if type(distribution).sample_and_log_prob is Distribution.sample_and_log_prob:
        return z, [log_prob], [distribution.log_prob(z)]
    return z, [log_prob, z], [distribution.log_prob(z), distribution.sample(KEY)]


def draws(vae, params, x, y):
    """Draw from q(z|x) and from p(z)."""
    return draw(vae.encode(params, x, y)), draw(vae.prior(params, y))


def densities(vae, params, x, y, z):
    """Return what a model's distributions say of x and z."""
    q, p, likelihood = vae.encode(params, x, y), vae.prior(params, y), vae.decode(params, z, y)
    return q.log_prob(z), p.log_prob(z), likelihood.log_prob(x), likelihood.mean


def assert_close(a, b):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, 2e-4, atol=1e-5), a, b)


# A flow, two layers and a mixture: not the plain ones that test_distributions transforms.
COMPOSED = {"coupling", "two_layers", "mixture"}
TRANSFORMED = [
    pytest.param(*pair, marks=() if COMPOSED & set(pair) else pytest.mark.slow)
    for pair in PAIR_COVER
]


@pytest.mark.slow
@pytest.mark.parametrize(("posterior", "prior"), TRANSFORMED)
def test_transformations_change_nothing(posterior, prior):
    """jit and vmap = a plain loop, and sample_and_log_prob is the two calls.

    Mutants: a sum over the batch, a density of another draw than the one returned.
    """
    vae, params, data = make_model(posterior, prior)
    xs, ys = data.x[:3], data.y[:3]
    from_q, from_p = jax.jit(jax.vmap(functools.partial(draws, vae, params)))(xs, ys)
    for _, one, other in (from_q, from_p):
        assert_close(one, other)
    function = functools.partial(densities, vae, params)
    together = jax.jit(jax.vmap(function))(xs, ys, from_q[0])
    for i in range(3):
        example = xs[i], ys[i], jax.tree.map(lambda z, i=i: z[i], from_q[0])
        assert_close(function(*example), tuple(each[i] for each in together))


# Gradients.


def extreme_outputs(count):
    """Return encoder outputs: moderate, all at either end, and with signs of their own."""
    signs = np.sign(np.random.default_rng(0).normal(size=(2, count)))
    signs = np.concatenate([np.ones((1, count)), -np.ones((1, count)), signs])
    extreme = np.concatenate([size * signs for size in (30.0, 1e3)])
    return jnp.asarray(np.concatenate([np.zeros((1, count)), extreme]), jnp.float32)


def check_gradients(posterior, prior):
    """Check that both parts of the ELBO, and every gradient of theirs, are finite."""
    vae, params, data = make_model(posterior, prior)
    x, y = data.x[0], data.y[0]

    def total(params, outputs):
        params = set_encoder_outputs(params, outputs)
        keys = jax.random.split(KEY, 2)
        if vae.is_discrete:
            terms = relaxed_terms(keys, vae, params, x, y, (0.5, 0.5), False)
        else:
            terms = sample_terms(keys, vae, params, x, y)
        sampled = jnp.mean(terms.log_posterior - terms.log_prior)
        closed_form = sampled if terms.closed_form_kl is None else terms.closed_form_kl
        parts = jnp.mean(terms.log_likelihood), closed_form, sampled
        return sum(parts), parts

    outputs = extreme_outputs(params["encoder"]["Dense_1"]["bias"].size)
    gradient = jax.value_and_grad(total, argnums=(0, 1), has_aux=True)
    values, gradients = jax.jit(jax.vmap(lambda outputs: gradient(params, outputs)))(outputs)
    assert np.all(np.isfinite(values[0])), values
    for path, leaf in jax.tree_util.tree_leaves_with_path(gradients):
        assert np.all(np.isfinite(leaf)), jax.tree_util.keystr(path)
    assert np.all(gradients[1][0] != 0)


@pytest.mark.parametrize(
    "posterior",
    # Those that are left out have a part that one of these has too.
    quick(POSTERIORS, "gaussian", "two_layers", "inverse_autoregressive", "categorical"),
)
def test_gradients_are_finite_at_extreme_outputs(posterior):
    """Outputs of 0, +-30 and +-1e3. Mutants: an unbounded log-scale, log(0) of a rounded sample."""
    check_gradients(*partner(posterior=posterior))


@pytest.mark.slow
@pytest.mark.parametrize(("posterior", "prior"), PAIRS)
def test_every_pairs_gradients_are_finite(posterior, prior):
    """Mutant: a VampPrior whose components' densities overflow where the posterior's do not."""
    check_gradients(posterior, prior)
