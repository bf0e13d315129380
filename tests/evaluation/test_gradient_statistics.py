"""Signal, noise and bias of gradients against numpy, closed forms and a published experiment."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.support import exact
from vae_jax.evaluation import gradient_statistics as statistics
from vae_jax.evaluation.gradient_statistics import GradientMoments


def moments_of(replicates):
    """Return the moments of an array (groups, replicates, parameters)."""
    return GradientMoments(
        replicates.mean(axis=1), replicates.var(axis=1, ddof=1), replicates.shape[1]
    )


def assert_estimates(estimate, expected):
    """Check an estimate within four of its standard errors, which must tell something."""
    assert abs(estimate.mean - expected) <= 4 * estimate.standard_error, (estimate, expected)
    assert estimate.standard_error < 0.1 * abs(expected)


@pytest.mark.slow
def test_moments_are_those_of_all_replicates():
    """Against numpy's of the same gradients, each computed by itself.

    Mutants: a group's keys not its own; the variance within the groups alone, without the spread of
    their means; another block's or other parameters' derivatives.
    """
    params = {"encoder": {"a": jnp.arange(3.0), "b": jnp.ones(2)}, "decoder": jnp.ones(4)}

    def loss(key, params, batch):
        noise = jax.random.normal(key, (9,))
        flat = jnp.concatenate([params["encoder"]["a"], params["encoder"]["b"], params["decoder"]])
        return batch * noise @ flat**2

    chosen = {"encoder": jnp.array([1, 2, 4]), "decoder": jnp.array([0, 3])}
    keys = jax.random.split(jax.random.key(0), (3, 5))
    group_moments = statistics.make_group_moments(loss, chosen, at_once=2)
    groups = [group_moments(each, params, 0.5) for each in keys]
    noise = jax.vmap(jax.vmap(lambda key: jax.random.normal(key, (9,))))(keys)
    expected = np.reshape(noise * np.array([0, 1, 2, 1, 1, 1, 1, 1, 1.0]), (15, 9))
    for block, columns in (("encoder", [1, 2, 4]), ("decoder", [5, 8])):
        joined = statistics.join_groups([group[block] for group in groups], 5)
        every = np.arange(3)
        np.testing.assert_allclose(joined.mean(every), expected[:, columns].mean(0), atol=1e-6)
        variance = expected[:, columns].var(0, ddof=1)
        np.testing.assert_allclose(joined.variance(every), variance, rtol=1e-5)


def test_chosen_parameters_are_different_ones_of_their_block():
    """Mutants: drawn with replacement; more than there are."""
    params = {"encoder": {"w": jnp.zeros((30, 2))}, "decoder": jnp.zeros(7), "prior": {}}
    blocks = ("encoder", "decoder")
    chosen = statistics.choose_parameters(jax.random.key(0), params, blocks, 20)
    assert {name: len(set(each.tolist())) for name, each in chosen.items()} == {
        "encoder": 20,
        "decoder": 7,
    }
    assert chosen["encoder"].min() >= 0 and chosen["encoder"].max() < 60


MEANS, SCALES = np.array([2.0, -1.0, 0.5]), np.array([1.0, 2.0, 0.5])


def gaussian_replicates(seed, means=MEANS, groups=20, size=200):
    rng = np.random.default_rng(seed)
    return means + SCALES * rng.normal(size=(groups, size, 3))


def test_numbers_of_gaussian_gradients():
    """Mean 2, -1, .5 and standard deviation 1, 2, .5: the ratios are 2, .5 and 1.

    4,000 replicates, four standard errors. Mutants: the sign kept; the ratio of the sums; the
    standard error of the mean for the deviation of one replicate; a squared deviation.
    """
    own = moments_of(gaussian_replicates(0))
    assert_estimates(statistics.signal_to_noise(own), (2 + 0.5 + 1) / 3)
    assert_estimates(statistics.mean_variance(own), (1 + 4 + 0.25) / 3)
    twice = moments_of(2 * gaussian_replicates(1))
    assert_estimates(statistics.signal_to_noise(own, twice), 2 * (2 + 0.5 + 1) / 3)


def test_derivatives_that_are_always_zero_are_left_out():
    """Mutants: 0 / 0; a zero that lowers the mean."""
    replicates = gaussian_replicates(0)
    with_zero = np.concatenate([replicates, np.zeros_like(replicates[..., :1])], axis=-1)
    expected = statistics.signal_to_noise(moments_of(replicates))
    assert statistics.signal_to_noise(moments_of(with_zero)) == expected
    none = moments_of(np.zeros((4, 3, 2)))
    assert np.isnan(statistics.signal_to_noise(none).mean)
    slope = statistics.slope_of_signal_to_noise([1, 2], [none, none], [None, None])
    assert np.isnan(slope.mean)


def test_noise_alone_reads_the_noise_floor():
    """E|mean of R standard normals| = sqrt(2 / (pi R)): over 2,000 parameters, four errors."""
    noise = np.random.default_rng(0).normal(size=(10, 20, 2000))
    read = statistics.signal_to_noise(moments_of(noise)).mean
    floor = np.sqrt(2 / (np.pi * 200))
    error = np.sqrt((1 - 2 / np.pi) / 200 / 2000)
    assert abs(read - floor) < 4 * error + 0.005 * floor  # the sample deviation: 1 / (2 R)


@pytest.mark.parametrize("bias", [0.0, 0.3])
def test_bias_is_that_of_the_means(bias):
    """Gradients with the same noise and with other noise, four standard errors.

    Mutant: the noise of the means not subtracted, which reads as a bias where there is none.
    """
    moved = MEANS + bias * np.array([1, 2, -1])
    expected = bias**2 * 6 / np.sum(MEANS**2)
    reference = moments_of(gaussian_replicates(0, size=10))
    other = statistics.relative_squared_bias(
        moments_of(gaussian_replicates(1, moved, size=10)), reference
    )
    assert abs(other.mean - expected) <= 4 * other.standard_error
    same = statistics.relative_squared_bias(
        moments_of(gaussian_replicates(0, moved, size=10)), reference
    )
    assert abs(same.mean - expected) <= 4 * same.standard_error + 1e-12
    assert same.standard_error <= 0.2 * expected + 1e-12
    without = [
        statistics.relative_squared_bias(
            moments_of(gaussian_replicates(2 * seed, size=10)),
            moments_of(gaussian_replicates(2 * seed + 1, size=10)),
        ).mean
        for seed in range(50)
    ]
    assert abs(np.mean(without)) <= 4 * np.std(without) / np.sqrt(50)


def test_standard_errors_are_those_of_independent_groups():
    """The jackknife of a mean is the standard error of the mean of the groups, exactly.

    Mutants: the deviation of the values without a group as it is; ddof of the other.
    """
    values = np.random.default_rng(0).normal(size=12)
    estimate = statistics._jackknife(lambda kept: np.mean(values[kept]), 12)
    assert abs(estimate.mean - values.mean()) < 1e-12
    assert abs(estimate.standard_error - values.std(ddof=1) / np.sqrt(12)) < 1e-12
    with pytest.raises(ValueError, match="3 groups or more, got 2"):
        statistics._jackknife(np.mean, 2)


def test_slope_of_a_power_law():
    """Ratios that are K^.3 exactly. Mutants: log K for K; the reference's ratio for its mean."""
    numbers, replicates = [1, 4, 16], gaussian_replicates(0)
    own = [moments_of(replicates * k**-0.2) for k in numbers]
    references = [moments_of(replicates * k**0.1) for k in numbers]
    slope = statistics.slope_of_signal_to_noise(numbers, own, references)
    np.testing.assert_allclose(slope.mean, 0.3, atol=1e-12)
    plain = statistics.slope_of_signal_to_noise(numbers, own, [None] * 3)
    np.testing.assert_allclose(plain.mean, 0.0, atol=1e-12)


def check_slopes(numbers, first, group_size, reference="doubly_reparameterized"):
    """Check the slopes of log signal-to-noise to .05, of which four standard errors are a part."""
    own = {k: exact.toy_moments("pathwise", k, group_size) for k in numbers}
    references = {k: exact.toy_moments(reference, k, group_size) for k in numbers}

    def check(expected, least, block, own):
        ks = [k for k in numbers if k >= least]
        signals = [references[k][block] for k in ks]
        slope = statistics.slope_of_signal_to_noise(ks, [own[k][block] for k in ks], signals)
        assert abs(slope.mean - expected) < 0.05, (block, expected, slope)
        assert 4 * slope.standard_error < 0.05, slope

    check(0.5, 1, "decoder", own)
    check(0.5, first, "encoder", references)
    check(-0.5, 1, "encoder", own)


@pytest.mark.slow
def test_signal_to_noise_on_the_toy_of_two_sizes():
    """Slopes +1/2 of the decoder, -1/2 of the encoder, +1/2 of its doubly reparameterized gradient.

    K = 64 and 512. Mutants: a doubly reparameterized gradient that is sticking the landing, whose
    signal does not fall as 1/K; the squared weight in the decoder's gradient, too.
    """
    check_slopes([64, 512], first=64, group_size=40)


@pytest.mark.slow
def test_signal_to_noise_on_the_toy():
    """The published slopes over K = 1 .. 1,024, by 2,000 replicates."""
    check_slopes([2**i for i in range(11)], first=64, group_size=200)


@pytest.mark.slow
def test_slopes_reject_sticking_the_landing():
    with pytest.raises(AssertionError, match="encoder"):
        check_slopes([64, 512], first=64, group_size=40, reference="sticking_the_landing")
