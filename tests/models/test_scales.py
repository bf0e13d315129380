"""The scale of a Gaussian likelihood: learned, optimal or fixed, which is a beta.

Oracles: closed forms, scipy, and a linear-Gaussian model whose errors are known.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy import stats

from tests.support.linear_gaussian import make_model as make_linear_model
from tests.support.quick import quick
from tests.support.rows import KEY, examples_of, first_decoding, make_likelihood, random_params
from vae_jax.datasets import Examples
from vae_jax.distributions import Gaussian, Masked, Observed, standard_normal
from vae_jax.lookup import options_of
from vae_jax.models import LIKELIHOODS, VAE, make_vae
from vae_jax.objectives import make_objective
from vae_jax.training.optimizers import set_optimal_scales

SCALED = ["gaussian_learned_scale", "gaussian_scale_per_value", "discretized_logistic"]


def scale_of(p):
    return np.broadcast_to(np.exp(p.log_scale), p.mean.shape)


@pytest.mark.parametrize("likelihood", SCALED)
@pytest.mark.parametrize("floor", [0.01, 0.3])
def test_learned_scale_stays_above_its_floor(likelihood, floor):
    """Whatever the parameters. Mutant: the floor of the log, or of sigma^2."""
    vae, data = make_likelihood(likelihood, likelihood_floor=floor)
    params = random_params(vae, data)
    own = jax.tree.map(lambda leaf: jnp.full_like(leaf, -1e3), params["likelihood"])
    low = vae.decode(params | {"likelihood": own}, jnp.zeros(2))
    np.testing.assert_allclose(scale_of(low), floor, 1e-4)


@pytest.mark.parametrize("likelihood", [*SCALED, "gaussian", "gaussian_optimal_scale"])
@pytest.mark.parametrize("scale", [0.05, 1.0, 30.0])
def test_first_scale_is_the_given_one(likelihood, scale):
    """Mutant: the floor added to it."""
    p = first_decoding(likelihood, examples_of(likelihood).x, likelihood_scale=scale)
    np.testing.assert_allclose(scale_of(p), scale, 1e-4)


# The scale that maximises the likelihood.

MODEL = make_linear_model()
XS = MODEL.sample(seed=1, num_examples=40)
SPREAD = 0.3


def fixed_vae(likelihood):
    """Return the linear model with q(z|x) = N(E[z|x], SPREAD^2), whose one parameter is `own`."""
    made = LIKELIHOODS[likelihood].make(2)
    gain = MODEL.posterior(MODEL.bias)[1] @ MODEL.weights.T / MODEL.noise_scale**2
    gain, weights, bias = map(jnp.float32, (gain, MODEL.weights, MODEL.bias))

    def encode(params, x, y=None):
        return Gaussian(gain @ (x - bias), jnp.full(2, np.log(SPREAD)))

    def decode(params, z, y=None):
        return made.make(weights @ z + bias, params)

    def init(key, examples):
        return made.own()

    return VAE(init, encode, decode, lambda params, y=None: standard_normal(2))


def expected_errors(xs):
    """Return the mean squared error per value that q(z|x) expects of each x, in closed form."""
    means = np.array([MODEL.posterior(x)[0] for x in xs])
    residuals = xs - means @ MODEL.weights.T - MODEL.bias
    spread = SPREAD**2 * np.sum(MODEL.weights**2)
    return (np.sum(residuals**2, axis=-1) + spread) / xs.shape[1]


def loss_of(likelihood, num_samples, beta=1.0):
    """Return a jitted function (key, own, xs) -> (loss, gradient)."""
    vae, objective = fixed_vae(likelihood), make_objective("elbo", num_samples=num_samples)

    def loss(own, key, xs):
        params = {"vae": own, "objective": {}}
        return objective.loss(key, vae, params, {"beta": beta}, Examples(xs), 0)[0]

    return jax.jit(jax.value_and_grad(loss))


def tracked_own(scale):
    """Return the likelihood's own parameters at this sigma."""
    zero = jnp.float32(0)
    return {"optimal_log_scale": jnp.float32(np.log(scale)), "error": zero, "count": zero}


def track(num_steps, num_samples=100, beta=1.0, key=KEY, start=1.0):
    """Return the tracked sigma^2 after so many steps at one key."""
    function, optimizer = loss_of("gaussian_optimal_scale", num_samples, beta), optax.sgd(0.0)
    optimizer = set_optimal_scales(optimizer)
    own = tracked_own(start)
    state, xs = optimizer.init(own), jnp.float32(XS)

    def step(_, carry):
        own, state = carry
        gradient = function(own, key, xs)[1]
        updates, state = optimizer.update(gradient, state, own)
        return optax.apply_updates(own, updates), state

    own, _ = jax.lax.fori_loop(0, num_steps, step, (own, state))
    return float(jnp.exp(2 * own["optimal_log_scale"]))


def test_optimal_scale_is_the_root_mean_squared_error():
    """Estimator: the mean error of 100 draws of each of 40 examples, four standard errors.

    That of one example's draws has at most the variance of its squared error: numpy draws it. beta
    does not matter, nor does where it starts. Mutants: sigma for sigma^2, a sum over pixels,
    log sigma^2 = the error, an error at the mean of z alone.
    """
    expected = expected_errors(XS).mean()
    rng = np.random.default_rng(0)
    means = np.array([MODEL.posterior(x)[0] for x in XS])
    zs = means + SPREAD * rng.normal(size=(2000, *means.shape))
    errors = np.mean((XS - zs @ MODEL.weights.T - MODEL.bias) ** 2, axis=-1)
    standard_error = np.sqrt(np.mean(errors.var(axis=0)) / (100 * len(XS)))
    values = [track(400), track(400, beta=4.0), track(400, start=0.05)]
    assert abs(values[0] - expected) < 4 * standard_error
    np.testing.assert_allclose(values[1:], values[0], 1e-3)
    assert SPREAD**2 * np.sum(MODEL.weights**2) / 5 > 8 * standard_error


def test_optimal_scale_moves_by_its_weight():
    """sigma^2 + 0.05 (e - sigma^2), once. Mutant: the whole way, or a step of the learning rate."""
    last = track(400)
    np.testing.assert_allclose(track(1), 1 + 0.05 * (last - 1), 1e-4)


def track_errors(errors, log_scale=0.0, weight=1.0, mask=(1, 1, 1, 1)):
    """Return log sigma after each step of a training in which every error is the given one."""
    likelihood = LIKELIHOODS["gaussian_optimal_scale"].make(2)
    optimizer = set_optimal_scales(optax.sgd(1.0))
    own = likelihood.own() | {"optimal_log_scale": jnp.float32(log_scale)}

    def step(own, error):
        def loss(own):
            p = Observed(likelihood.make(jnp.zeros(4), own))
            return -weight * p.log_prob(Masked(jnp.full(4, error), jnp.array(mask)))

        updates, _ = optimizer.update(jax.grad(loss)(own), optimizer.init(own), own)
        own = optax.apply_updates(own, updates)
        return own, own["optimal_log_scale"]

    return np.asarray(jax.jit(lambda own, xs: jax.lax.scan(step, own, xs)[1])(own, errors))


@pytest.mark.parametrize("low", [0.0, 0.001])
def test_optimal_scale_returns_from_below_its_floor(low):
    """Oracle: sigma^2 = 1 - .95^n, n steps after 2,100 of an error below the floor.

    Mutant: log sigma that falls by .026 at each step of these, and takes 4,000 to return.
    """
    errors = np.repeat(np.float32([low, 1.0]), [2100, 100])
    after = np.exp(2 * track_errors(errors)[2100:])
    np.testing.assert_allclose(after, 1 - 0.95 ** np.arange(1, 101), 1e-3)


@pytest.mark.parametrize("weight", [1e-3, 1.0, 784.0])
def test_optimal_scale_does_not_depend_on_the_weight_of_the_likelihood(weight):
    """Oracle: sigma^2 + .05 (e - sigma^2). Mutants: a step times the weight; the missing values
    of a mask counted, whose error would be 0."""
    for mask in ((1, 1, 1, 1), (0, 1, 0, 0)):
        variance = np.exp(2 * track_errors(np.float32([2.0]), weight=weight, mask=mask)[0])
        np.testing.assert_allclose(variance, 1 + 0.05 * (4 - 1), 1e-5)


def test_optimal_scale_stays_where_no_likelihood_is_met():
    """Mutant: 0 / 0."""
    assert track_errors(np.float32([2.0]), log_scale=0.3, weight=0.0)[0] == np.float32(0.3)


def test_optimal_scale_leaves_the_other_gradients_as_they_are():
    """Oracle: a clipped step of the other gradients alone. Mutant: the gradients that tell the
    errors counted in the norm."""
    own = tracked_own(1.0)
    params = {"weights": jnp.zeros(2), "own": own}
    large = jax.tree.map(lambda leaf: leaf + 784.0, own)
    gradients = {"weights": jnp.array([0.3, -0.4]), "own": large}
    optimizer = set_optimal_scales(optax.chain(optax.clip_by_global_norm(0.25), optax.sgd(1.0)))
    updates, _ = optimizer.update(gradients, optimizer.init(params), params)
    np.testing.assert_allclose(updates["weights"], [-0.15, 0.2], 1e-6)
    assert updates["own"]["error"] == updates["own"]["count"] == 0


def test_evaluation_keeps_the_training_datas_scale():
    """Far examples have the density of the scale given. Mutant: sigma from the data measured."""
    own = tracked_own(0.6)
    p = fixed_vae("gaussian_optimal_scale").decode(own, jnp.zeros(2))
    x = 3 + np.arange(5.0)
    expected = stats.norm.logpdf(x, MODEL.bias, 0.6).sum()
    np.testing.assert_allclose(p.log_prob(jnp.float32(x)), expected, 1e-5)


def test_learned_scale_is_best_at_the_root_mean_squared_error():
    """The loss's slope changes its sign there, at one key. Mutant: softplus without the floor."""
    function, best = loss_of("gaussian_learned_scale", 100), np.sqrt(track(400))
    xs = jnp.float32(XS)
    floor = options_of(LIKELIHOODS["gaussian_learned_scale"])["likelihood_floor"]

    def slope(sigma):
        unbounded = np.log(np.expm1(sigma - floor))
        return float(function({"scale": jnp.float32(unbounded)}, KEY, xs)[1]["scale"])

    assert slope(0.99 * best) < -1e-3 < slope(best) < 1e-3 < slope(1.01 * best)


# Gaussians and squared errors.


def test_squared_error_is_that_and_its_constant():
    """-log p = sum (x - mean)^2 + (D / 2) log(pi). Mutants: sigma = 1, a mean, no constant."""
    vae, data = make_likelihood("squared_error")
    p = vae.decode(random_params(vae, data), jnp.ones(2))
    x = np.float64(data.x[0])
    expected = np.sum((x - np.float64(p.mean)) ** 2) + 3 * np.log(np.pi)
    np.testing.assert_allclose(-p.log_prob(data.x[0]), expected, 1e-5)


@pytest.mark.parametrize("sigma", quick([0.2, 1.0, 2.0], 0.2))
def test_fixed_scale_is_a_beta(sigma):
    """2 sigma^2 times the ELBO's gradient is that of the squared error + 2 sigma^2 KL.

    By every parameter, at one key; also as the beta-VAE of `squared_error` with beta = 2 sigma^2.
    Mutants: sigma^2, 1 / sigma^2, a mean over the values.
    """
    vae, data = make_likelihood("gaussian", likelihood_scale=sigma)
    squared, _ = make_likelihood("squared_error")
    params, x = random_params(vae, data), data.x[0]

    def gradient(model, beta):
        loss = make_objective("elbo").loss
        batch = Examples(data.x[:1])

        def of(params):
            params = {"vae": params, "objective": {}}
            return loss(KEY, model, params, {"beta": beta}, batch, 0)[0]

        return jax.jit(jax.grad(of))(params)

    def by_hand(params):
        q = vae.encode(params, x)
        # The keys of the only example, and of its only sample.
        z = q.sample(jax.random.split(jax.random.split(KEY, 1)[0], 1)[0])
        kl = 0.5 * jnp.sum(q.mean**2 + jnp.exp(2 * q.log_scale) - 1 - 2 * q.log_scale)
        return jnp.sum((x - vae.decode(params, z).mean) ** 2) + 2 * sigma**2 * kl

    expected = jax.jit(jax.grad(by_hand))(params)
    of_elbo = jax.tree.map(lambda leaf: 2 * sigma**2 * leaf, gradient(vae, 1.0))
    for actual in (of_elbo, gradient(squared, 2 * sigma**2)):
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, 1e-3, atol=1e-4), actual, expected
        )


def test_optimal_scale_stays_above_its_floor():
    """Mutant: a sigma that follows the error of constant data to zero, its density to infinity."""
    vae = make_vae(
        (3,), likelihood="gaussian_optimal_scale", likelihood_floor=0.2, latent_dim=2, hidden=(4,)
    )
    params = vae.init(jax.random.key(0), Examples(jnp.ones((5, 3))))
    params["likelihood"]["own"]["optimal_log_scale"] = jnp.float32(-50.0)
    np.testing.assert_allclose(np.exp(vae.decode(params, jnp.zeros(2)).log_scale), 0.2, 1e-5)
