"""How samples of q(z|x) become terms, against an exactly solvable model."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from tests.support.bounds import (
    BATCH,
    FULL_MODEL,
    KEY,
    LINEAR_VAE,
    MODEL,
    PARAMS,
    Q_COVARIANCE,
    Q_MEAN,
    Batch,
    X,
)
from tests.support.gradients import (
    BOUNDS,
    FULL_VAE,
    KEYS,
    assert_gradients_have_one_mean,
    linear_gradients,
    make_gradients,
    split,
)
from tests.support.linear_gaussian import FullGaussian, make_vae
from tests.support.rows import make_model
from vae_jax.distributions import Masked
from vae_jax.objectives import (
    ESTIMATORS,
    Terms,
    elbo,
    importance_weighted_bound,
    make_objective,
    objectives_with,
    sample_terms,
)
from vae_jax.objectives.estimators import Estimation, apply_baseline, init_baseline


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


def test_one_key_is_one_sample():
    """Oracle: the terms of each key alone. Mutants: one key for all samples, keys in another order,
    a mean over the samples."""
    keys, x = jax.random.split(KEY, 3), jnp.float32(X)
    together = sample_terms(keys, LINEAR_VAE, PARAMS, x, None)
    for i, key in enumerate(keys):
        alone = sample_terms(key[None], LINEAR_VAE, PARAMS, x, None)
        for a, b in zip(together[:3], alone[:3], strict=True):
            np.testing.assert_allclose(a[i], b[0], 1e-5)
    assert len(np.unique(together.log_posterior)) == 3


def test_gradient_flows_through_the_sample():
    """Oracle: of z = mean + sigma eps, d log p(x|z) / d mean = W'(x - b - W z) / s^2, by numpy.

    Mutant: a sample whose gradient is stopped, which gives zero.
    """
    x = jnp.float32(X)

    def log_likelihood(params):
        return sample_terms(KEY[None], LINEAR_VAE, params, x, None).log_likelihood[0]

    gradient = jax.grad(log_likelihood)(PARAMS)["offset"]
    z = np.float64(LINEAR_VAE.encode(PARAMS, x).sample(KEY))
    residual = X - MODEL.bias - MODEL.weights @ z
    expected = MODEL.weights.T @ residual / MODEL.noise_scale**2
    np.testing.assert_allclose(gradient, expected, 1e-4)


# Gradients on the linear-Gaussian model, by hand and in the mean.

LATENTS = {"diagonal": LINEAR_VAE, "full": FULL_VAE}
LANDING = {
    "elbo": "sticking_the_landing",
    **dict.fromkeys(("iwae", "miwae", "ciwae", "renyi"), "doubly_reparameterized"),
}
UNBIASED = [
    *LANDING.items(),
    ("elbo", "score_function"),
    ("iwae", "vimco"),
    *(
        pytest.param(*pair, marks=pytest.mark.slow)
        for pair in [
            ("elbo", "leave_one_out"),
            ("iwae", "score_function"),
            ("miwae", "vimco"),
            ("miwae", "score_function"),
            ("ciwae", "score_function"),
            ("ciwae", "vimco"),
            ("renyi", "score_function"),
            ("renyi", "vimco"),
        ]
    ),
]


@functools.cache
def samples(num_samples):
    """Return the z that an objective draws for its example on each of KEYS, in float64."""
    q = LINEAR_VAE.encode(PARAMS, jnp.float32(X))

    def draw(key):
        (of_example,) = jax.random.split(key, 1)
        return jax.vmap(q.sample)(jax.random.split(of_example, num_samples))

    return np.float64(jax.jit(jax.vmap(draw))(KEYS))


def log_weights_by_hand(zs):
    """Return log w of z [..., samples, 2] by scipy."""
    log_p = stats.norm.logpdf(X, zs @ MODEL.weights.T + MODEL.bias, MODEL.noise_scale).sum(-1)
    log_q = stats.norm.logpdf(zs, Q_MEAN, np.sqrt(np.diag(Q_COVARIANCE))).sum(-1)
    return log_p + stats.norm.logpdf(zs).sum(-1) - log_q


def gradients_by_hand(zs, of_encoder, of_model):
    """Return the gradients of sum_k c_k log w_k with the coefficients c for encoder and for model.

    For the encoder c_k d log w_k / dz_k dz_k / dphi, where z = gain x + offset + sigma eps; the
    density's own parameters are stopped.
    """
    residual = (X - MODEL.bias - zs @ MODEL.weights.T) / MODEL.noise_scale**2
    by_z = residual @ MODEL.weights - zs + (zs - Q_MEAN) / np.diag(Q_COVARIANCE)
    by_z, by_output = of_encoder[..., None] * by_z, of_model[..., None] * residual
    return {
        "offset": by_z.sum(-2),
        "log_scale": np.sum(by_z * (zs - Q_MEAN), -2),
        "gain": by_z.sum(-2)[..., None] * X,
        "bias": by_output.sum(-2),
        "weights": np.einsum("nki,nkj->nij", by_output, zs),
    }


def normalized_weights(num_groups=1, axis=-1):
    """Return z and weights of each key, normalized over the samples of each of M groups."""
    zs = samples(4 * num_groups)
    groups = log_weights_by_hand(zs).reshape(len(zs), num_groups, -1)
    return zs, special.softmax(groups, axis).reshape(len(zs), -1)


@pytest.mark.parametrize("bound, num_groups", [("iwae", 1), ("miwae", 2)])
def test_doubly_reparameterized_gradient_by_hand(bound, num_groups):
    """Oracle: numpy in float64 on the same z: sum_k w_k^2 d log w_k / dz_k dz_k / dphi for the
    encoder, sum_k w_k d log p(x, z_k) / dtheta for the model, averaged over groups: Tucker et al.
    (2019). Mutants: see `MUTANTS`.
    """
    _, gradients = linear_gradients(bound, "doubly_reparameterized")
    zs, weights = normalized_weights(num_groups)
    expected = gradients_by_hand(zs, weights**2 / num_groups, weights / num_groups)
    for name, gradient in gradients.items():
        np.testing.assert_allclose(gradient, expected[name], 2e-3, atol=2e-3)
        assert np.abs(gradient).mean() > 0.05


@pytest.mark.parametrize("bound, estimator", UNBIASED)
def test_estimator_has_the_mean_of_the_pathwise_one(bound, estimator):
    """On the same N = 8,000 keys, K = 4 (`assert_gradients_have_one_mean`).

    Mutants: a score forgotten or counted twice, a baseline that depends on its own sample, the
    learning signal's sign turned, factors of another bound.
    """
    estimated, plain = linear_gradients(bound, estimator)[1], linear_gradients(bound)[1]
    assert_gradients_have_one_mean(split(estimated), split(plain))
    assert np.std(split(estimated)[0] - split(plain)[0]) > 0.05


def mutant_without_second_weight():
    """The score left out, as by sticking the landing, of a bound of K > 1 samples."""
    zs, weights = normalized_weights()
    return "iwae", gradients_by_hand(zs, weights, weights)


def mutant_with_squared_weights_everywhere():
    zs, weights = normalized_weights()
    return "iwae", gradients_by_hand(zs, weights**2, weights**2)


def mutant_normalized_over_groups():
    """Over the M samples that have one place in their groups, instead of over the K of a group."""
    zs, weights = normalized_weights(2, axis=-2)
    return "miwae", gradients_by_hand(zs, weights**2 / 2, weights / 2)


MUTANTS = {
    "no second weight": mutant_without_second_weight,
    "squared weights everywhere": mutant_with_squared_weights_everywhere,
    "normalized over M": mutant_normalized_over_groups,
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_mutants_of_the_doubly_reparameterized_gradient_are_rejected(mutant):
    """By the test above, with as many keys."""
    bound, gradients = MUTANTS[mutant]()
    with pytest.raises(AssertionError):
        assert_gradients_have_one_mean(split(gradients), split(linear_gradients(bound)[1]))


def test_sticking_the_landing_is_biased_for_more_samples_in_a_bound():
    """For the encoder; it is the gradient by hand without the second weight.

    Mutant: the doubly reparameterized estimator under this name."""
    encoder, model = split(linear_gradients("iwae", "sticking_the_landing")[1])
    plain_encoder, plain_model = split(linear_gradients("iwae")[1])
    expected, _ = split(mutant_without_second_weight()[1])
    np.testing.assert_allclose(encoder, expected, 2e-3, atol=2e-3)
    np.testing.assert_allclose(model, plain_model, 1e-4, atol=1e-4)
    with pytest.raises(AssertionError):
        assert_gradients_have_one_mean([encoder], [plain_encoder])


# What the bounds' factors are does not depend on the posterior.
@pytest.mark.parametrize(
    "latents, bound",
    [*(("diagonal", bound) for bound in LANDING), ("full", "elbo"), ("full", "iwae")],
)
def test_encoder_gradient_vanishes_at_the_posterior(latents, bound):
    """On every key, to float tolerance; the pathwise one does not.

    Mutants: the sampled score kept; the density of another draw; a covariance without gradient.
    """
    vae = LATENTS[latents]
    exact = vae.init(KEY, None)
    encoder, model = split(linear_gradients(bound, LANDING[bound], exact, vae)[1])
    np.testing.assert_allclose(encoder, 0, atol=5e-4)
    assert np.abs(model).mean() > 0.1
    if latents == "diagonal":
        pathwise, _ = split(linear_gradients(bound, params=exact)[1])
        assert np.abs(pathwise).mean() > 0.1


def test_piwae_follows_two_bounds():
    """On the same keys the encoder's gradient is MIWAE(2, 4)'s, the model's the bound of all 8
    samples'. Mutants: M and K exchanged, the two targets exchanged, or one of them for both."""
    encoder, model = split(linear_gradients("miwae", "piwae")[1])
    of_groups, of_all = linear_gradients("miwae")[1], linear_gradients("iwae", num_samples=8)[1]
    np.testing.assert_allclose(encoder, split(of_groups)[0], 1e-3, atol=1e-3)
    np.testing.assert_allclose(model, split(of_all)[1], 1e-3, atol=1e-3)
    exchanged = linear_gradients("miwae", num_groups=4, num_samples=2)[1]
    assert np.abs(split(exchanged)[0] - encoder).mean() > 0.01
    for one, other in zip(split(of_groups), split(of_all), strict=True):
        assert np.abs(one - other).mean() > 0.01


def test_wake_sleep_fits_q_to_weighted_samples():
    """Oracle: numpy on the same z: sum_k w_k d log q(z_k) / dphi, z fixed, and the bound's gradient
    for the model. Mutants: weights not normalized, the fit's sign turned, a bound whose log q
    reaches the encoder as well."""
    _, gradients = linear_gradients("iwae", "wake_sleep")
    zs, weights = normalized_weights()
    scores = weights[..., None] * (zs - Q_MEAN) / np.diag(Q_COVARIANCE)
    np.testing.assert_allclose(gradients["offset"], scores.sum(-2), 2e-3, atol=2e-3)
    by_log_scale = np.sum(scores * (zs - Q_MEAN) - weights[..., None], -2)
    np.testing.assert_allclose(gradients["log_scale"], by_log_scale, 2e-3, atol=2e-3)
    _, plain = split(linear_gradients("iwae")[1])
    np.testing.assert_allclose(split(gradients)[1], plain, 1e-3, atol=1e-3)


TAKEN_BY = {name: objectives_with(name) for name in ESTIMATORS}


def estimators_of(bound):
    """Return the estimators that an objective takes."""
    return [name for name in ESTIMATORS if bound in TAKEN_BY[name]]


# Those that another test compiles by default; the rest is slow.
COMPILED = [
    *LANDING.items(),
    ("elbo", "score_function"),
    ("iwae", "vimco"),
    ("miwae", "piwae"),
    ("iwae", "wake_sleep"),
]
EVERY_PAIR = [
    pytest.param(bound, name, marks=[] if (bound, name) in COMPILED else pytest.mark.slow)
    for bound in BOUNDS
    for name in estimators_of(bound)
    if name != "pathwise"
]


@pytest.mark.parametrize("bound, estimator", EVERY_PAIR)
def test_value_does_not_depend_on_the_estimator(bound, estimator):
    """On the same keys, to float rounding. Mutants: another draw of z, a surrogate's value added,
    weights that are given as the bound."""
    value, plain = linear_gradients(bound, estimator)[0], linear_gradients(bound)[0]
    np.testing.assert_allclose(value, plain, 1e-5, atol=1e-5)


# Two by default: a link and a score.
CHUNKED = {("iwae", "doubly_reparameterized"), ("iwae", "vimco")}
EVERY_CHUNK = [
    pytest.param(
        bound,
        name,
        size,
        marks=[] if size == 2 and (bound, name) in CHUNKED else pytest.mark.slow,
    )
    for bound in BOUNDS
    for name in estimators_of(bound)
    for size in (1, 2, 4)
]


@pytest.mark.parametrize("bound, estimator, chunk_size", EVERY_CHUNK)
def test_chunks_change_nothing(bound, estimator, chunk_size):
    """Oracle: value and gradients of all samples at once, on the same keys.

    Mutants: a bound of each chunk, averaged; weights normalized within a chunk; the link's gradient
    lost where a chunk is computed again."""
    chunked = linear_gradients(bound, estimator, chunk_size=chunk_size)
    whole = linear_gradients(bound, estimator)
    np.testing.assert_allclose(chunked[0], whole[0], 1e-5, atol=1e-5)
    for one, other in zip(split(chunked[1]), split(whole[1]), strict=True):
        np.testing.assert_allclose(one, other, 1e-3, atol=1e-3)


# The same on small networks, with posteriors and priors of every kind.

MODELS = {
    "gaussian": ("gaussian", "standard_normal"),
    "vampprior": ("gaussian", "vampprior"),
    "full_gaussian": ("full_gaussian", "standard_normal"),
    "coupling": ("coupling", "standard_normal"),
    "two_layers": ("two_layers", "two_layers"),
    "gamma": ("gamma", "gamma"),
}
QUICK = ("vampprior", "iwae", "doubly_reparameterized")
NETWORK_CASES = [
    pytest.param(name, *pair, marks=[] if (name, *pair) == QUICK else pytest.mark.slow)
    for name in MODELS
    for pair in [("elbo", "sticking_the_landing"), ("iwae", "doubly_reparameterized")]
]
NETWORK_CASES += [
    pytest.param("gaussian", *pair, marks=pytest.mark.slow)
    for pair in [("elbo", "leave_one_out"), ("iwae", "vimco"), ("iwae", "score_function")]
]


@functools.cache
def network_gradients(model, bound, estimator):
    """Return `split` gradients of a small network, for two examples, on N = 4,000 keys."""
    vae, params, data = make_model(*MODELS[model])
    batch = jax.tree.map(lambda leaf: leaf[:2], data)
    objective = make_objective(bound, **BOUNDS[bound] | {"num_samples": 3}, estimator=estimator)
    return split(make_gradients(objective, vae, batch)(params, KEYS[:4000], {})[1])


@pytest.mark.slow
@pytest.mark.parametrize("model, bound, estimator", NETWORK_CASES)
def test_estimator_has_the_mean_of_the_pathwise_one_on_networks(model, bound, estimator):
    """`assert_gradients_have_one_mean`, N = 4,000 keys, K = 3.

    Mutants: the sample of one of two layers scaled, the other not; a prior made of the encoder from
    which the encoder gets no gradient.
    """
    estimated = network_gradients(model, bound, estimator)
    assert_gradients_have_one_mean(estimated, network_gradients(model, bound, "pathwise"))


# The learned and the leave-one-out baselines, on terms made by hand.

_NUMBERS = np.random.default_rng(3)
COLUMNS = [jnp.float32(_NUMBERS.normal(size=4)) for _ in range(3)]


def gradient_of_columns(estimator, bound, columns=COLUMNS, baseline=0.0):
    """Return the gradients of an estimate by log p(x|z), log p(z), log q(z|x) and the baseline."""

    def value(columns, baseline):
        terms = Terms(*columns, None)
        estimation = Estimation(
            lambda stop=(): (terms, jnp.zeros(4)), bound, baseline=lambda: baseline
        )
        return ESTIMATORS[estimator].make(estimation)[0]

    gradients = jax.jit(jax.grad(value, (0, 1)))(columns, jnp.float32(baseline))
    return [np.asarray(each) for each in (*gradients[0], gradients[1])]


def iwae_of_terms(terms):
    """Return the importance-weighted bound of terms."""
    return importance_weighted_bound(terms.log_weights)


def test_vimco_signals_are_its_formula():
    """Oracle: by numpy, log mean w less log mean of the same with w_k replaced by the geometric
    mean of the other weights (Mnih & Rezende, 2016). Mutants: the arithmetic mean of the others, a
    mean that includes sample k, K - 1 for K."""
    _, _, by_log_q, _ = gradient_of_columns("vimco", iwae_of_terms)
    log_weights = np.float64(COLUMNS[0] + COLUMNS[1] - COLUMNS[2])
    signals = by_log_q + special.softmax(log_weights)  # the bound's own gradient by log q is -w
    expected = []
    for k in range(4):
        replaced = log_weights.copy()
        replaced[k] = np.delete(log_weights, k).mean()
        expected.append(special.logsumexp(log_weights) - special.logsumexp(replaced))
    np.testing.assert_allclose(signals, expected, 1e-4, atol=1e-5)


def test_leave_one_out_signals_of_the_elbo():
    """Oracle: (l_k - the mean of the other l) / K by numpy. Mutant: the mean of all l, with which
    the gradient is (K - 1) / K of the true one."""
    _, _, by_log_q, _ = gradient_of_columns("leave_one_out", lambda terms: elbo(terms, 1.0, True))
    log_weights = np.float64(COLUMNS[0] + COLUMNS[1] - COLUMNS[2])
    others = (log_weights.sum() - log_weights) / 3
    np.testing.assert_allclose(by_log_q + 1 / 4, (log_weights - others) / 4, 1e-4, atol=1e-5)


def test_learned_baseline_follows_the_signal():
    """Oracle: by the baseline the gradient is signal - b, by log q the same signal less the bound's
    own gradient, by the model the bound's alone.

    Mutants: the fit's sign turned, a baseline that also moves to make scores small, a fit whose
    gradient reaches the bound."""
    by_log_p, by_prior, by_log_q, by_baseline = gradient_of_columns(
        "score_function", iwae_of_terms, baseline=0.7
    )
    log_weights = np.float64(COLUMNS[0] + COLUMNS[1] - COLUMNS[2])
    signal = special.logsumexp(log_weights) - np.log(4) - 0.7
    weights = special.softmax(log_weights)
    np.testing.assert_allclose(by_baseline, signal, 1e-5)
    np.testing.assert_allclose(by_log_q, signal - weights, 1e-5, atol=1e-6)
    np.testing.assert_allclose(by_log_p, weights, 1e-5)
    np.testing.assert_allclose(by_prior, weights, 1e-5)


def test_baseline_is_trained_by_the_loss():
    """Oracle: -(bound - b) db/dparams of each example, averaged. Mutants: params["objective"]
    without gradient, a sum over the batch."""
    objective = make_objective("elbo", estimator="score_function")
    own = objective.init(KEY, LINEAR_VAE, BATCH)
    (_, metrics), gradients = jax.jit(
        jax.value_and_grad(
            lambda own, batch: objective.loss(
                KEY, LINEAR_VAE, {"vae": PARAMS, "objective": own}, objective.hparams, batch, 0
            ),
            has_aux=True,
        )
    )(own, Batch(BATCH.x[:1]))

    def baseline(own):
        return apply_baseline(own["baseline"], BATCH.x[0])

    value, slope = jax.jit(jax.value_and_grad(baseline))(own)
    signal = metrics["objective"] - value
    jax.tree.map(
        lambda g, s: np.testing.assert_allclose(g, -signal * s, 1e-3, atol=1e-4), gradients, slope
    )
    assert max(np.abs(leaf).max() for leaf in jax.tree.leaves(gradients)) > 0.1


def test_missing_entries_do_not_reach_the_baseline():
    """Oracle: the same example with zeros in their place. Mutant: the stored values, here NaN."""
    x, mask = BATCH.x[0], jnp.array([1.0, 0.0, 1.0, 1.0, 1.0])
    own = init_baseline(KEY, Batch(Masked(BATCH.x, jnp.ones_like(BATCH.x))))
    missing = Masked(jnp.where(mask == 1, x, jnp.nan), mask)
    np.testing.assert_allclose(apply_baseline(own, missing), apply_baseline(own, x * mask), 1e-6)
