"""The semi-supervised objective against plain loops over the classes, and a solvable mixture."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from tests.support.linear_gaussian import assert_mean_is, gaussian_kl, make_model, make_vae
from tests.support.quick import quick
from tests.support.rows import KEY, NUM_CLASSES
from tests.support.rows import make_model as make_small_model
from vae_jax.datasets import Examples, from_arrays, keep_labels
from vae_jax.distributions import Gaussian
from vae_jax.models import VAE, make_vae_for
from vae_jax.objectives import (
    average_over_labels,
    check_labels,
    elbo,
    make_objective,
    sample_terms,
)

OPTIONS = {"beta": 1.7, "generative_weight": 0.8, "classifier_weight": 2.5, "num_samples": 2}
YS = jnp.array([0, -1, 2, -1])


def make(precision="float32", **options):
    """Return (objective, vae, params, batch): a small model with p(z|y), of four examples."""
    objective = make_objective("semi_supervised", **options, classifier_hidden=(4,))
    vae, params, data = make_small_model(
        "gaussian", "conditional_gaussian", precision=precision, spread=0.5
    )
    rng = np.random.default_rng(3)
    shapes = jax.eval_shape(lambda: objective.init(KEY, vae, data))
    own = jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape)), shapes)
    return objective, vae, {"vae": params, "objective": own}, Examples(data.x[:4], YS)


def classify(params, x):
    """Return log q(y|x) by numpy."""
    first, last = (
        jax.tree.map(np.float64, layer)
        for layer in (params["Dense_0"]["Dense_0"], params["Dense_1"])
    )
    hidden = np.tanh(x @ first["kernel"] + first["bias"])
    return special.log_softmax(hidden @ last["kernel"] + last["bias"])


def test_loss_is_a_loop_over_examples_and_classes():
    """Oracle: of each example alone, in float64: sum_y q(y|x) [elbo(x, y) + log p(y) - log q(y|x)],
    or elbo(x, y) + log p(y) at its label, with the elbo of each class called by itself, beta = 1.7
    on all of the KL, and the classifier's network in numpy.

    Mutants: the entropy's sign, log p(y) left out, labelled examples taken for unlabelled ones or
    the reverse, beta on the KL of z alone, the classifier's term of unlabelled examples.
    """
    values = []
    with jax.enable_x64(True):
        objective, vae, params, batch = make("float64", **OPTIONS)

        def together(params):
            return objective.loss(KEY, vae, params, objective.hparams, batch, 0)

        @jax.jit
        def one_class(keys, x, y):
            terms = sample_terms(keys, vae, params["vae"], x, y)
            return [elbo(terms, beta) for beta in (1.0, 1.7)]

        loss, metrics = jax.jit(together)(params)
        for key, x, y in zip(jax.random.split(KEY, 4), batch.x, np.array(batch.y), strict=True):
            keys = jax.random.split(key, 2)
            elbos = np.array([one_class(keys, x, label) for label in range(NUM_CLASSES)])
            log_q = classify(params["objective"], np.float64(x))
            parts = (elbos.T + np.array([[1.0], [1.7]]) * (np.log(1 / 3) - log_q)) @ np.exp(log_q)
            if y >= 0:
                parts = elbos[y] + np.array([1.0, 1.7]) * np.log(1 / 3)
            label = log_q[y] if y >= 0 else 0.0
            values.append([0.8 * parts[1] + 2.5 * label, parts[0], label])
    names = ("objective", "elbo", "label_log_likelihood")
    np.testing.assert_allclose([metrics[n] for n in names], np.mean(values, 0), rtol=1e-9)
    np.testing.assert_allclose(metrics["elbo"], metrics["reconstruction"] - metrics["kl"], 1e-9)
    assert loss == -metrics["objective"]


# A mixture of linear-Gaussian models, one for each class, whose p(y|x) and log p(x) are known.

CLASSES = [make_model()._replace(bias=shift * np.ones(5)) for shift in (-0.3, 0.0, 0.5)]
X = CLASSES[1].sample(seed=4, num_examples=1)[0]
LOG_JOINT = np.array([model.log_marginal(X) for model in CLASSES]) - np.log(3)
LOG_MARGINAL = special.logsumexp(LOG_JOINT)
LOG_POSTERIOR = LOG_JOINT - LOG_MARGINAL


def exact_parts(shift=0.0):
    """Return E_q[log p(x|z,y)] and KL(q(z|x,y) || p(z)) of each class, by numpy.

    q is the exact posterior with its mean moved by `shift`.
    """
    parts = []
    for model in CLASSES:
        mean, covariance = model.posterior(X)
        mean = mean + shift
        kl = gaussian_kl(mean, covariance, 0 * mean, np.eye(2))
        parts.append([model.elbo(X, mean, covariance) + kl, kl])
    return np.transpose(parts)


@pytest.mark.parametrize("y", [-1, 0, 1, 2])
def test_the_bound_is_tight_at_the_exact_posterior(y):
    """Oracle: log p(x), or log p(x, y), of the mixture, where q(y|x) and q(z|x,y) are exact.

    Mutants: the entropy's sign, log p(y) left out, a labelled example summed over classes.
    """
    with jax.enable_x64(True):
        parts = jax.jit(average_over_labels)(jnp.array(y), LOG_POSTERIOR, *exact_parts())
    expected = LOG_MARGINAL if y < 0 else LOG_JOINT[y]
    np.testing.assert_allclose(parts["elbo"], expected, rtol=1e-9)


def test_the_gradient_of_the_classifier_vanishes_at_the_exact_posterior_alone():
    """Of an unlabelled example, whose bound is log p(x) - KL(q(y|x) || p(y|x)) where q(z|x,y) is
    exact. Oracle elsewhere: q_y (g_y - sum_c q_c g_c) with g = log q(y|x) - log p(y|x), by numpy.

    Mutants: the weights' gradient stopped, or the entropy's.
    """

    def bound(logits):
        parts = jnp.asarray(exact_parts())
        return average_over_labels(jnp.array(-1), jax.nn.log_softmax(logits), *parts)["elbo"]

    with jax.enable_x64(True):
        logits = LOG_POSTERIOR + np.array([[0.0, 0.0, 0.0], [0.0, 0.5, -1.0]])
        gradients = jax.jit(jax.vmap(jax.grad(bound)))(logits)
    log_q = special.log_softmax(logits, -1)
    q, ratios = np.exp(log_q), log_q - LOG_POSTERIOR
    expected = -q * (ratios - np.sum(q * ratios, -1, keepdims=True))
    np.testing.assert_allclose(gradients, expected, atol=1e-9)
    assert abs(expected[1]).max() > 0.05


def make_mixture():
    """Return the mixture as a VAE whose posterior's means are moved by .2."""
    single = make_vae(CLASSES[0])
    params = single.init(KEY, None)
    biases = jnp.float32([model.bias for model in CLASSES])
    params["offset"] = 0.2

    def encode(params, x, y):
        return Gaussian(params["gain"] @ (x - biases[y]) + params["offset"], params["log_scale"])

    def decode(params, z, y):
        return single.decode(params | {"bias": biases[y]}, z)

    return VAE(single.init, encode, decode, single.prior, condition=3), params


def test_the_bound_of_an_unlabelled_example_is_below_log_marginal_by_the_divergence():
    """Estimator: the mean of single-sample bounds, N = 10,000; four standard errors.

    Oracle: log p(x) - KL(q(y|x) || p(y|x)) - sum_y q(y|x) KL(q(z|x,y) || p(z|x,y)), which is below
    log p(x). Mutants: the entropy's sign, log p(y) left out, classes weighted uniformly.
    """
    vae, params = make_mixture()
    objective = make_objective("semi_supervised", classifier_hidden=())
    log_q = np.log([0.3, 0.5, 0.2])
    own = {"Dense_1": {"kernel": jnp.zeros((5, 3)), "bias": jnp.float32(log_q)}}
    params = {"vae": params, "objective": own}
    batch = Examples(jnp.float32(X)[None], jnp.array([-1]))

    def value(key):
        return objective.loss(key, vae, params, objective.hparams, batch, 0)[1]["objective"]

    values = jax.jit(jax.vmap(value))(jax.random.split(KEY, 10_000))
    gaps = []
    for model in CLASSES:
        mean, covariance = model.posterior(X)
        gaps.append(gaussian_kl(mean + 0.2, covariance, mean, covariance))
    divergence = np.exp(log_q) @ (log_q - LOG_POSTERIOR + gaps)
    assert divergence > 0.05
    assert_mean_is(values, LOG_MARGINAL - divergence)


# Which parameters learn from what.


def gradient_sizes(y, **options):
    """Return the largest gradient of encoder, decoder and classifier, for one example."""
    objective, vae, params, batch = make(**options)
    batch = Examples(batch.x[:1], jnp.array([y]))
    gradient = jax.jit(
        jax.grad(lambda p: objective.loss(KEY, vae, p, objective.hparams, batch, 0)[0])
    )(params)
    parts = (gradient["vae"]["encoder"], gradient["vae"]["decoder"], gradient["objective"])
    return [max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(part)) for part in parts]


@pytest.mark.parametrize(
    ("y", "options", "learns"),
    quick(
        [
            (-1, {"classifier_weight": 0.0}, (True, True, True)),
            (1, {}, (True, True, True)),
            (1, {"classifier_weight": 0.0}, (True, True, False)),
            (1, {"generative_weight": 0.0}, (False, False, True)),
            (-1, {"generative_weight": 0.0}, (False, False, False)),
        ],
        (-1, {"classifier_weight": 0.0}, (True, True, True)),
        (1, {"classifier_weight": 0.0}, (True, True, False)),
    ),
)
def test_gradients_reach_what_they_should(y, options, learns):
    """Mutants: a classifier without a gradient from unlabelled examples (weights stopped), labelled
    examples taken for unlabelled ones (the bound then reaches the classifier), a label -1 taken for
    the last class."""
    sizes = gradient_sizes(y, **options)
    assert tuple(size > 1e-4 for size in sizes) == learns
    assert all(size > 1e-4 or size == 0 for size in sizes)


def test_missing_entries_do_not_reach_the_classifier():
    """What is stored in them, even NaN. Mutant: a classifier of the stored values."""
    x = np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32)
    mask = np.ones_like(x)
    mask[:, 1] = 0
    data = from_arrays(x, np.arange(30) % 2, mask=mask)
    vae = make_vae_for(data, likelihood="gaussian", conditional=True, latent_dim=2, hidden=(3,))
    objective = make_objective("semi_supervised", classifier_hidden=(3,))
    params = objective.init(KEY, vae, data.train)
    example = jax.tree.map(lambda leaf: jnp.float32(leaf[0]), data.train.x)
    spoilt = example._replace(values=example.values.at[1].set(jnp.nan))
    one, other = (objective.classify(vae, params, each) for each in (example, spoilt))
    np.testing.assert_array_equal(one, other)
    np.testing.assert_allclose(jnp.exp(one).sum(), 1, rtol=1e-6)


# What is refused.

DIGITS = from_arrays(np.eye(30, dtype=np.float32), np.arange(30) % 3, name="own")


def refusal(call):
    with pytest.raises(ValueError) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_labels_and_objectives_that_do_not_fit_are_refused():
    """Mutant: a conditional model trained by the ELBO on y = -1."""
    few = keep_labels(DIGITS, 6)
    given, plain = (
        make_vae_for(few, conditional=is_given, latent_dim=2, hidden=(3,))
        for is_given in (True, False)
    )
    semi_supervised, bound = make_objective("semi_supervised"), make_objective("elbo")
    for objective, vae, data in (
        (semi_supervised, given, few),
        (semi_supervised, given, DIGITS),
        (bound, given, DIGITS),
        (bound, plain, few),
    ):
        check_labels(objective, vae, data)
    message = refusal(lambda: check_labels(bound, given, few))
    assert "only 6 training examples of own" in message and "semi_supervised" in message
    for call in (
        lambda: check_labels(semi_supervised, plain, few),
        lambda: semi_supervised.init(KEY, plain, few.train),
    ):
        assert "vae.conditional=true" in refusal(call)
    quadrant = given._replace(condition=(4, 4))
    assert "not y of shape (4, 4)" in refusal(lambda: check_labels(semi_supervised, quadrant, few))


@pytest.mark.slow
def test_a_missing_label_is_never_a_silent_one_hot():
    """Refused where its value is known; else NaN, which training reports. Mutant: a y of zeros."""
    vae, params, data = make_small_model("gaussian", "conditional_gaussian")
    for y in (-1, NUM_CLASSES):
        for call in (
            lambda y=y: vae.encode(params, data.x[0], y),
            lambda y=y: vae.decode(params, jnp.zeros(2), y),
            lambda y=y: vae.prior(params, jnp.array(y)),
        ):
            assert f"y must be a label 0 .. 2, got {y}" in refusal(call)
    means = jax.jit(jax.vmap(lambda y: vae.encode(params, data.x[0], y).mean))(jnp.arange(-1, 4))
    np.testing.assert_array_equal(np.isnan(means).all(1), [True, False, False, False, True])
    batch = Examples(data.x[:2], jnp.array([-1, 1]))
    objective = make_objective("elbo")
    loss, _ = objective.loss(KEY, vae, {"vae": params}, objective.hparams, batch, 0)
    assert np.isnan(loss)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beta": -1.0}, "beta must be >= 0 and finite, got -1.0"),
        ({"generative_weight": np.inf}, "generative_weight must be >= 0 and finite, got inf"),
        ({"classifier_weight": np.nan}, "classifier_weight must be >= 0 and finite, got nan"),
        ({"classifier_hidden": (0,)}, "must be >= 1, got (0,)"),
        ({"num_samples": 0}, "num_samples must be >= 1, got 0"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    assert message in refusal(lambda: make_objective("semi_supervised", **options))
