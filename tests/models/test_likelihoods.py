"""Every likelihood is a density of its values, starts at the data, and learns what it has.

Oracles: enumeration, quadrature, scipy, and a linear-Gaussian model whose errors are known.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.support.quick import quick
from tests.support.rows import (
    KEY,
    NUM_LEVELS,
    TINY,
    examples_of,
    first_decoding,
    make_likelihood,
    random_params,
)
from vae_jax.datasets import Examples
from vae_jax.distributions import Masked
from vae_jax.models import LIKELIHOODS, make_vae

likelihoods = pytest.mark.parametrize("likelihood", LIKELIHOODS)


def support(kind):
    """Return the values that there are, and the weight of each in a sum or an integral."""
    if kind == "unit":
        nodes, weights = np.polynomial.legendre.leggauss(60)
        return (nodes + 1) / 2, weights / 2
    if kind == "real":
        values = np.linspace(-30, 30, 4001)
        return values, np.full(len(values), values[1] - values[0])
    values = {
        "bits": np.arange(2),
        "levels": np.arange(NUM_LEVELS) / (NUM_LEVELS - 1),
        "counts": np.arange(1000),
        "one_hot": np.ones(1),
    }[kind]
    return values, np.ones(len(values))


@likelihoods
def test_density_of_one_value_normalizes(likelihood):
    """And has the mean of its samples, N = 4,000, four standard errors.

    Mutants: a constant dropped, a sigma outside its exponential, levels counted from one.
    """
    data = examples_of(likelihood)
    vae = make_vae((1,), likelihood=likelihood, **TINY)
    params = random_params(vae, Examples(data.x[:, :1]), spread=0.5)
    p = vae.decode(params, jnp.array([0.4, -1.0]))
    values, weights = support(LIKELIHOODS[likelihood].values)
    log_probs = jax.jit(jax.vmap(p.log_prob))(jnp.float32(values)[:, None])
    density = np.exp(np.float64(log_probs)) * weights
    np.testing.assert_allclose(density.sum(), 1, rtol=1e-4)
    samples = jax.jit(jax.vmap(p.sample))(jax.random.split(KEY, 4000))
    mean = density @ values
    error = np.sqrt((density @ values**2 - mean**2) / 4000)
    assert abs(np.mean(samples) - mean) <= 4 * error


@likelihoods
def test_decoding_starts_at_the_data(likelihood):
    """Where the networks' outputs are zero, as `Field` adds them.

    Oracles: numpy's mean of the examples (of a discretized logistic its location), the frequencies
    of a categorical one by Laplace's rule. Mutant: no inverse of what turns outputs into a mean.
    """
    data = examples_of(likelihood)
    p = first_decoding(likelihood, data.x)
    if likelihood == "categorical":
        levels = np.arange(NUM_LEVELS)[:, None, None] / (NUM_LEVELS - 1)
        counts = np.sum(np.abs(np.asarray(data.x) - levels) < 1e-3, axis=1).T
        assert np.all(counts.sum(-1) == len(data.x))
        expected = (counts + 1) / (len(data.x) + NUM_LEVELS)
        np.testing.assert_allclose(jax.nn.softmax(p.logits), expected, 1e-4)
        return
    expected = np.mean(data.x, axis=0)
    if likelihood == "one_hot":
        expected = (np.sum(data.x, axis=0) + 1) / (len(data.x) + len(data.x[0]))
    if likelihood in ("bernoulli", "binomial"):
        expected = np.clip(expected, 0.001, 0.999)
    # The mean of a discretized logistic variable is its location only far from both ends.
    mean = p.location if likelihood == "discretized_logistic" else p.mean
    is_count = likelihood in ("poisson", "negative_binomial")  # 0.01 is added to their mean
    np.testing.assert_allclose(mean, expected, atol=0.0101 if is_count else 1e-4)


@pytest.mark.slow
@likelihoods
def test_what_it_has_is_learned(likelihood):
    """Every parameter of the likelihood has a gradient. Mutant: one that is never read."""
    vae, data = make_likelihood(likelihood)
    params = random_params(vae, data)
    gradients = jax.grad(lambda params: vae.decode(params, jnp.ones(2)).log_prob(data.x[0]))(params)
    for path, leaf in jax.tree_util.tree_leaves_with_path(gradients["likelihood"]):
        assert np.all(leaf != 0), jax.tree_util.keystr(path)
    assert np.any(gradients["decoder"]["Dense_1"]["kernel"] != 0)


# Missing entries.


@pytest.mark.parametrize("likelihood", quick(LIKELIHOODS, "categorical"))
def test_missing_entries_change_nothing(likelihood):
    """Nor do NaNs there: in q(z|x), in the density or in a gradient, nor in the first bias.

    Oracle: the same with every entry observed. Mutants: a mean over all entries at the start,
    0 * NaN.
    """
    vae, data = make_likelihood(likelihood, masked=True)
    plain, _ = make_likelihood(likelihood)
    mask = jnp.ones((8, 6)).at[:, 1].set(0).at[0, 2].set(0)
    low, high = (jnp.where(mask > 0, data.x, value) for value in (jnp.nan, 1.0))
    starts = [jax.jit(vae.init)(KEY, Examples(Masked(xs, mask))) for xs in (low, high)]
    params = random_params(vae, Examples(Masked(low, mask)))

    def both(params, x):
        return vae.encode(params, x).log_prob(jnp.ones(2)) + vae.decode(
            params, jnp.ones(2)
        ).log_prob(x)

    a, b = (jax.jit(jax.value_and_grad(both))(params, Masked(xs[0], mask[0])) for xs in (low, high))
    for one, other in ((starts[0]["encoder"], starts[1]["encoder"]), (a, b)):
        jax.tree.map(np.testing.assert_array_equal, one, other)
        assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(one))
    start = starts[0]["likelihood"]["output_bias"]
    full = jax.jit(plain.init)(KEY, data)["likelihood"]["output_bias"]
    assert np.all(np.isfinite(start))
    np.testing.assert_allclose(start[3:], full[3:], 1e-5)
    all_seen = both(params, Masked(data.x[0], jnp.ones(6)))
    q, p = plain.encode(params, data.x[0]), plain.decode(params, jnp.ones(2))
    expected = q.log_prob(jnp.ones(2)) + p.log_prob(data.x[0])
    np.testing.assert_allclose(all_seen, expected, 1e-5)


def test_mask_of_pixels_holds_for_every_color():
    """A mask [height, width] of [height, width, color]. Mutant: read from the last axis."""
    vae = make_vae((2, 2, 3), likelihood="gaussian", masked=True, latent_dim=2, hidden=(4,))
    xs = jnp.arange(24.0).reshape(2, 2, 2, 3)
    mask = jnp.array([[[1, 0], [1, 1]], [[1, 0], [0, 1]]])
    whole = jnp.broadcast_to(mask[..., None], xs.shape)
    starts = [jax.jit(vae.init)(KEY, Examples(Masked(xs, each))) for each in (mask, whole)]
    jax.tree.map(np.testing.assert_array_equal, *starts)
    examples = Masked(xs[0], mask[0]), Masked(xs[0], whole[0])
    means = [vae.encode(starts[0], x).mean for x in examples]
    np.testing.assert_array_equal(*means)
