"""InfoVAE and DIP-VAE against numpy: distances of the aggregate posterior from the prior."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.objectives.test_disentangling import codes_of_batch
from tests.support.bounds import BATCH, KEY, LINEAR_VAE, PARAMS, Batch, evaluate
from tests.support.linear_gaussian import assert_mean_is
from tests.support.rows import make_model, set_encoder_outputs
from vae_jax.distributions import FullGaussian, standard_normal
from vae_jax.lookup import take_options
from vae_jax.objectives import OBJECTIVES, make_objective
from vae_jax.objectives.disentangling import ROWS as DISENTANGLING_ROWS
from vae_jax.objectives.matching import KERNELS, covariance, covariance_penalties, squared_mmd
from vae_jax.objectives.matching import ROWS as MATCHING_ROWS

# DIP-VAE.


@pytest.mark.parametrize("kind", ["i", "ii"])
def test_dip_vae_by_numpy(kind):
    """Oracle: numpy's covariance of the means over the batch, and the posteriors' variances.

    Mutants: centred over the latents (mistake 14), the weights exchanged, C_ii for C_ii - 1, the
    posteriors' variances in kind i.
    """
    _, means, scales = codes_of_batch()
    matrix = np.cov(means, rowvar=False) + (kind == "ii") * np.diag((scales**2).mean(0))
    on_diagonal = np.sum((np.diag(matrix) - 1) ** 2)
    off_diagonal = np.sum((matrix - np.diag(np.diag(matrix))) ** 2)
    objective = make_objective("dip_vae", kind=kind)
    loss, metrics = evaluate(objective, lambda_diagonal=5.0, lambda_off_diagonal=2.0)
    np.testing.assert_allclose(metrics["covariance_diagonal"], on_diagonal, rtol=1e-4)
    np.testing.assert_allclose(metrics["covariance_off_diagonal"], off_diagonal, rtol=1e-4)
    expected = -metrics["elbo"] + 5 * on_diagonal + 2 * off_diagonal
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


def test_dip_penalties_of_standard_normal_codes_are_near_zero():
    """Oracle: C of B codes has entries within about sqrt(2 / B) of I: the sums of squares over D =
    3 have the means 2 D / (B - 1) and D (D - 1) / (B - 1).

    Estimator: the mean over 400 sets of B = 50 codes; four standard errors. Mutants: centred over
    the latents, a covariance divided by B, correlations that are not squared.
    """
    codes = np.random.default_rng(0).normal(size=(400, 50, 3)).astype(np.float32)
    penalties = jax.jit(jax.vmap(lambda zs: covariance_penalties(covariance(zs))))(codes)
    assert_mean_is(penalties[0], 2 * 3 / 49)
    assert_mean_is(penalties[1], 3 * 2 / 49)


def test_dip_vae_takes_posteriors_of_full_covariance():
    """Oracle: with means that do not vary, C is the covariance of q(z|x). Mutant: its diagonal."""
    factor = jnp.float32(np.linalg.cholesky([[0.5, 0.3], [0.3, 0.8]]))
    vae = LINEAR_VAE._replace(encode=lambda params, x, y=None: FullGaussian(jnp.ones(2), factor))
    _, metrics = evaluate(make_objective("dip_vae"), vae=vae)
    np.testing.assert_allclose(metrics["covariance_diagonal"], 0.5**2 + 0.2**2, rtol=1e-4)
    np.testing.assert_allclose(metrics["covariance_off_diagonal"], 2 * 0.3**2, rtol=1e-4)


# InfoVAE.


def mmd_by_loops(a, b, kernel, scale):
    """Return the unbiased estimate by loops over pairs, in float64."""
    width = 2 * a.shape[1] * scale

    def k(u, v):
        square = ((u - v) ** 2).sum()
        return np.exp(-square / width) if kernel == "rbf" else width / (width + square)

    def mean_within(xs):
        pairs = [(i, j) for i in range(len(xs)) for j in range(len(xs)) if i != j]
        return np.mean([k(xs[i], xs[j]) for i, j in pairs])

    return mean_within(a) + mean_within(b) - 2 * np.mean([k(u, v) for u in a for v in b])


@pytest.mark.parametrize("kernel", KERNELS)
def test_mmd_by_loops(kernel):
    """Mutants: pairs of a sample with itself, one mean instead of two, distances not squared."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(7, 3)), 0.5 + rng.normal(size=(5, 3))
    value = squared_mmd(jnp.float32(a), jnp.float32(b), kernel, 0.7)
    np.testing.assert_allclose(value, mmd_by_loops(a, b, kernel, 0.7), rtol=1e-4)


@pytest.mark.parametrize("kernel", KERNELS)
def test_mmd_of_equal_distributions_has_the_mean_zero(kernel):
    """Estimator: the mean over 1,000 pairs of 10 samples each; four standard errors.

    Mutant: the biased estimate, with pairs of a sample with itself.
    """
    a, b = np.random.default_rng(1).normal(size=(2, 1000, 10, 2)).astype(np.float32)
    values = jax.jit(jax.vmap(lambda a, b: squared_mmd(a, b, kernel)))(a, b)
    assert_mean_is(values, 0.0)
    apart = jax.jit(jax.vmap(lambda a, b: squared_mmd(a + 1, b, kernel)))(a, b)
    assert np.mean(apart) > 0.1


def test_info_vae_by_loops():
    """Oracle: loops over the pairs of one sample of q(z|x) and one of p(z) per example.

    Mutants: alpha in the place of 1 - alpha, lambda_mmd alone as the weight of the MMD, samples of
    the prior that are the noise of those of q(z|x).
    """
    zs, _, _ = codes_of_batch()
    keys = jax.random.split(KEY, len(BATCH.x))
    prior = [standard_normal(2).sample(jax.random.fold_in(key, 1)) for key in keys]
    mmd = mmd_by_loops(zs, np.float64(prior), "inverse_multiquadratic", 0.5)
    objective = make_objective("info_vae")
    loss, metrics = evaluate(objective, alpha=0.75, lambda_mmd=11.0, kernel_scale=0.5)
    np.testing.assert_allclose(metrics["mmd"], mmd, rtol=1e-4)
    expected = -metrics["reconstruction"] + 0.25 * metrics["kl"] + 10.75 * mmd
    np.testing.assert_allclose(loss, expected, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("factor_vae", {"gamma": 0.0}),
        ("dip_vae", {"lambda_diagonal": 0.0, "lambda_off_diagonal": 0.0}),
        ("info_vae", {"lambda_mmd": 1.0}),
    ],
)
def test_without_a_penalty_it_is_the_elbo(name, options):
    """On the same key, by the ELBO's own code. Mutant: samples of other keys."""
    loss, metrics = evaluate(make_objective(name, **options))
    expected_loss, expected = evaluate(make_objective("elbo"))
    np.testing.assert_allclose(loss, expected_loss, rtol=1e-6)
    for key in expected:
        np.testing.assert_allclose(metrics[key], expected[key], rtol=1e-6)


# The contract of the objectives over batches, of this file and of disentangling.

BATCH_OBJECTIVES = {**DISENTANGLING_ROWS, **MATCHING_ROWS}
batch_objectives = pytest.mark.parametrize("name", BATCH_OBJECTIVES)


def make(name):
    """Return an objective over batches, with the size of the data set where it wants it."""
    return make_objective(name, **take_options(BATCH_OBJECTIVES[name], {"dataset_size": 50}))


def test_every_objective_over_batches_says_so():
    assert {n for n in OBJECTIVES if make_objective(n).compares_examples} == set(BATCH_OBJECTIVES)


@pytest.mark.slow
@batch_objectives
def test_contract_of_an_objective_over_batches(name):
    """Loss and metrics as numbers, elbo = reconstruction - kl; jit = no jit, one trace for two
    calls with other numbers, and members of a sweep equal single runs.

    Mutants: an objective to be minimised, a weight that is a compile-time constant.
    """
    objective, traces = make(name), []

    def decode(params, z, y=None):
        traces.append(z)
        return LINEAR_VAE.decode(params, z, y)

    vae = LINEAR_VAE._replace(decode=decode)
    params = {"vae": PARAMS, "objective": objective.init(KEY, vae, BATCH)}
    traces.clear()

    def loss(key, hparams):
        return objective.loss(key, vae, params, hparams, BATCH, jnp.array(5))

    first = {field: jnp.float32(value) for field, value in objective.hparams.items()}
    second = {field: value + 0.5 for field, value in first.items()}
    compiled = jax.jit(loss)
    alone = [compiled(KEY, hparams) for hparams in (first, second)]
    assert len(traces) == 1
    both = jax.tree.map(lambda *leaves: jnp.stack(leaves), first, second)
    together = jax.jit(jax.vmap(loss, in_axes=(None, 0)))(KEY, both)
    for member, (value, metrics) in enumerate(alone):
        assert value.shape == () and value == -metrics["objective"]
        assert all(each.shape == () and np.isfinite(each) for each in metrics.values())
        parts = metrics["reconstruction"] - metrics["kl"]
        np.testing.assert_allclose(metrics["elbo"], parts, rtol=1e-5)
        jax.tree.map(
            lambda a, b, i=member: np.testing.assert_allclose(a[i], b, 1e-4, 1e-5),
            together,
            (value, metrics),
        )
    assert alone[0][0] != alone[1][0]
    slow = loss(KEY, first)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, 1e-4, 1e-5), slow, alone[0])


@batch_objectives
def test_each_weight_reaches_the_objective(name):
    """Mutant: an option that is read from its default."""
    objective = make(name)
    params = {"vae": PARAMS, "objective": objective.init(KEY, LINEAR_VAE, BATCH)}

    def loss(hparams):
        return objective.loss(KEY, LINEAR_VAE, params, hparams, BATCH, 0)[0]

    derivatives = jax.jit(jax.grad(loss))(objective.hparams)
    assert all(value != 0 for value in derivatives.values()), derivatives


@batch_objectives
def test_a_batch_of_one_example_is_refused(name):
    """Mutant: a division by B - 1 = 0."""
    with pytest.raises(ValueError, match="batch_size of 2 or more, got 1") as error:
        evaluate(make(name), batch=Batch(BATCH.x[:1]))
    assert "\n" not in str(error.value)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "posterior"), [("beta_tcvae", "gamma"), ("info_vae", "beta"), ("factor_vae", "beta")]
)
def test_codes_of_positive_and_unit_latents_are_unbounded(name, posterior):
    """Of concentrations near .05, a tenth of whose samples no float32 holds: all is finite, and the
    KL is the ELBO's. Mutant: densities of the bounded values, of which log q is infinite or off."""
    prior = {"gamma": "gamma", "beta": "uniform"}[posterior]
    vae, params, data = make_model(posterior, prior)
    params = set_encoder_outputs(params, jnp.full(4, -8.0))
    plain, objective = make_objective("elbo", form="log_weights"), make(name)
    own = objective.init(KEY, vae, data)

    def loss(params, objective, own):
        given = {"vae": params, "objective": own}
        return objective.loss(KEY, vae, given, objective.hparams, data, 0)

    @jax.jit
    def compute(params):
        return jax.grad(loss, has_aux=True)(params, objective, own), loss(params, plain, {})[1]

    (gradient, metrics), expected = compute(params)
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves((gradient, metrics)))
    if name == "beta_tcvae":
        np.testing.assert_allclose(metrics["kl"], expected["kl"], rtol=1e-4)
