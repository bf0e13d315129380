"""The VAE as functions, over every row of its tables."""

import inspect
import itertools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from tests.support.quick import quick
from tests.support.rows import small_options
from vae_jax.datasets import Examples
from vae_jax.distributions import Bernoulli, Gaussian, Masked, Observed
from vae_jax.models import make_vae
from vae_jax.networks import ACTIVATIONS, NETWORKS

SHAPE = (8, 8, 1)
SIZES = {"hidden": (7, 6), "channels": (2, 4)}
# Each network, and each likelihood: what the one does with the other is the joining of `make_vae`.
CASES = [*[(name, "bernoulli") for name in NETWORKS], ("mlp", "gaussian")]
every_network = pytest.mark.parametrize(("network", "likelihood"), CASES)


def make_small_vae(network="mlp", **options):
    return make_vae(SHAPE, latent_dim=3, **small_options(network, **SIZES), **options)


def examples(seed=0, count=20, shape=SHAPE):
    return Examples(jax.random.uniform(jax.random.key(seed), (count, *shape)))


@every_network
def test_every_row_maps_shapes_as_told(network, likelihood):
    """Nothing is computed but shapes."""
    vae = make_small_vae(network, likelihood=likelihood)

    def everything(key, data):
        params = vae.init(key, data)
        q = vae.encode(params, data.x[0])
        p = vae.decode(params, q.mean)
        return q, p, p.mean, vae.prior(params).log_prob(q.mean)

    q, p, mean, log_prob = jax.eval_shape(everything, jax.random.key(0), examples())
    assert isinstance(q, Gaussian) and q.mean.shape == q.log_scale.shape == (3,)
    assert isinstance(p, {"bernoulli": Bernoulli, "gaussian": Gaussian}[likelihood])
    assert mean.shape == SHAPE and log_prob.shape == ()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("network", "likelihood"),
    quick(CASES, ("mlp", "bernoulli")),
)
def test_jit_and_vmap_change_nothing(network, likelihood):
    vae = make_small_vae(network, likelihood=likelihood)
    data = examples(count=2)
    params = jax.jit(vae.init)(jax.random.key(0), data)

    def log_likelihood(x):
        return vae.decode(params, vae.encode(params, x).mean).log_prob(x)

    loop = np.array([log_likelihood(x) for x in data.x])
    np.testing.assert_allclose(jax.vmap(log_likelihood)(data.x), loop, rtol=1e-5)
    np.testing.assert_allclose(jax.jit(jax.vmap(log_likelihood))(data.x), loop, rtol=1e-5)


@pytest.mark.parametrize(
    ("shape", "channels"),
    [((28, 28, 1), (4, 8)), ((64, 64, 3), (2,) * 4), ((30, 45, 3), (2, 4, 8)), ((7, 1, 1), (2,))],
)
def test_convolutional_pair_takes_images(shape, channels):
    """Of sides that cannot be halved so often, too. Mutant: a decoder of sides rounded down."""
    vae = make_vae(shape, network="conv", channels=channels, hidden=(16,), latent_dim=2)
    data = examples(shape=shape, count=3)
    params = jax.eval_shape(vae.init, jax.random.key(0), data)

    def reconstruct(params, x):
        return vae.decode(params, vae.encode(params, x).mean).mean

    decoded = jax.eval_shape(jax.vmap(reconstruct, (None, 0)), params, data.x)
    assert decoded.shape == data.x.shape
    blocks = [params["encoder"][f"ConvolutionalBlock_{i}"] for i in range(len(channels))]
    kernels = [block["Convolution_0"]["kernel"].shape for block in blocks]
    colors = (shape[-1], *channels)
    assert kernels == [(4, 4, a, b) for a, b in itertools.pairwise(colors)]


def test_decoder_starts_at_the_data_mean():
    """With z = 0 and no biases the decoder's output is its last bias: the (clipped) data mean.

    A mutant without the logit decodes sigmoid(mean) > 0.5 everywhere.
    """
    data = Examples(jnp.concatenate([jnp.zeros((9, 4)), jnp.eye(4)[:1]]))
    for likelihood in ("bernoulli", "gaussian"):
        vae = make_vae((4,), latent_dim=2, hidden=(3,), likelihood=likelihood)
        params = vae.init(jax.random.key(0), data)
        mean = vae.decode(params, jnp.zeros(2)).mean
        expected = [0.1, 0, 0, 0] if likelihood == "gaussian" else [0.1, 0.001, 0.001, 0.001]
        np.testing.assert_allclose(mean, expected, atol=1e-6)


def test_gaussian_scale_is_the_given_one():
    vae = make_vae((4,), likelihood="gaussian", likelihood_scale=0.1, latent_dim=2, hidden=(3,))
    params = vae.init(jax.random.key(0), examples(shape=(4,)))
    np.testing.assert_allclose(vae.decode(params, jnp.zeros(2)).scale, 0.1, rtol=1e-6)


def products(function, *arguments):
    """Return the types of the operands of every product in a traced function."""
    text = str(jax.make_jaxpr(function)(*arguments))
    return set(re.findall(r":(\w+)\[[\d,]*\] = dot_general", text))


@pytest.mark.parametrize(
    ("precision", "layers", "kept"),
    quick(
        [
            ("float32", "f32", jnp.float32),
            ("bfloat16", "bf16", jnp.float32),
            ("float64", "f64", jnp.float64),
        ],
        ("bfloat16", "bf16", jnp.float32),
    ),
)
def test_precision_is_that_of_layers_and_of_densities(precision, layers, kept):
    """Products in one type; parameters, gradients and densities in the other.

    The densities are those of float32 to the layers' rounding: 2^-8 of logits of order one.
    """
    with jax.enable_x64(precision == "float64"):
        vae = make_small_vae(precision=precision)
        data = examples()
        params = jax.jit(vae.init)(jax.random.key(0), data)

        def log_likelihood(params, x):
            return vae.decode(params, vae.encode(params, x).mean).log_prob(x)

        assert products(log_likelihood, params, data.x[0]) == {layers}
        value, gradient = jax.jit(jax.value_and_grad(log_likelihood))(params, data.x[0])
        types = {leaf.dtype for leaf in jax.tree.leaves((value, gradient, params))}
        assert types == {jnp.dtype(kept)}
        plain = make_small_vae()
        exact = plain.decode(params, plain.encode(params, data.x[0]).mean).log_prob(data.x[0])
        assert abs(value - exact) < {"bfloat16": 0.3}.get(precision, 1e-4)


def test_float64_without_x64_is_refused():
    with pytest.raises(ValueError, match="jax_enable_x64"):
        make_vae(SHAPE, precision="float64")


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_is_used(activation):
    vae = make_vae((4,), latent_dim=2, hidden=(5,), activation=activation)
    params = vae.init(jax.random.key(0), examples(shape=(4,)))
    hidden = params["encoder"]["Dense_0"]["Dense_0"]
    head = params["encoder"]["Dense_1"]
    x = examples(shape=(4,)).x[0]
    features = ACTIVATIONS[activation](x @ hidden["kernel"] + hidden["bias"])
    expected = (features @ head["kernel"] + head["bias"])[:2]
    np.testing.assert_allclose(vae.encode(params, x).mean, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"network": "cnn"}, "known: conv, gated_mlp, mlp, resnet"),
        ({"likelihood": "bernouli"}, "did you mean 'bernoulli'"),
        ({"activation": "tnah"}, "did you mean 'tanh'"),
        ({"precision": "float16"}, "did you mean 'bfloat16'"),
        ({"latent_dim": 0}, "latent_dim must be >= 1, got 0"),
        ({"hidden": (10, -1)}, "must be >= 1"),
        (
            {"likelihood": "gaussian", "likelihood_scale": 0.0},
            "must be above 0 and finite, got 0.0",
        ),
        ({"likelihood": "gaussian", "likelihood_scale": float("nan")}, "got nan"),
        ({"network": "conv", "channels": (2, 2, 2, 2)}, "only [0-9] times"),
    ],
)
def test_bad_choices_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        make_vae(SHAPE, **options)


@pytest.mark.parametrize("wrong", [[0.0] * 3, [0] * 3, (0.0,) * 3, "abc"])
def test_lists_and_words_are_refused(wrong):
    """For x, y and z, with the remedy. Mutant: jax's own error, which names no argument."""
    vae = make_vae((3,), latent_dim=2, hidden=(4,), condition=(3,))
    x = jnp.zeros(3)
    params = jax.eval_shape(vae.init, jax.random.key(0), Examples(jnp.zeros((2, 3)), x[None]))
    calls = {
        "x": lambda: vae.encode(params, wrong, x),
        "y": lambda: vae.encode(params, x, wrong),
        "z": lambda: vae.decode(params, wrong if isinstance(wrong, list) else "z", x),
    }
    for name, call in calls.items():
        with pytest.raises(ValueError, match=f"^{name} must be an array, got .* jax.numpy.asarray"):
            call()


def test_raw_arrays_and_masks_that_the_model_does_not_know_are_refused():
    """Each with the remedy. Mutants: AttributeError: no attribute 'x'; a mask that is ignored."""
    vae, key = make_small_vae(), jax.random.key(0)
    log_prob_of = inspect.unwrap(Observed.log_prob_per_dimension)  # without the tests' type checker
    masked = Masked(examples().x, jnp.ones((20, *SHAPE)))
    with pytest.raises(ValueError, match=r"wrap those by vae_jax.Examples\(x, y\), got ArrayImpl"):
        vae.init(key, examples().x)
    with pytest.raises(ValueError, match="x is Masked: make the model by masked=True"):
        vae.init(key, Examples(masked))
    params = vae.init(key, examples())
    one = jax.tree.map(lambda leaf: leaf[0], masked)
    with pytest.raises(ValueError, match="x is Masked: make the model by masked=True"):
        vae.encode(params, one)
    of_masked = make_small_vae(masked=True)
    with pytest.raises(ValueError, match="masked=True needs x as Masked"):
        of_masked.init(key, examples())
    params = of_masked.init(key, Examples(masked))
    with pytest.raises(ValueError, match="masked=True needs x as Masked"):
        of_masked.encode(params, one.values)
    with pytest.raises(ValueError, match="value of this distribution is Masked"):
        log_prob_of(Observed(Bernoulli(jnp.zeros(3))), jnp.zeros(3))


def test_each_field_has_its_own_mask():
    """Oracle: what stands in missing cells, even NaN, changes neither q(z|x) nor log p(x|z), and
    the latter is that of the observed ones. Mutants: one mask for all fields, none in q(z|x)."""
    options = {"likelihood": "gaussian", "latent_dim": 2, "hidden": (3,)}
    shapes, key = {"a": (2,), "b": (3,)}, jax.random.key(0)
    vae = make_vae(shapes, masked={"a": True, "b": False}, **options)
    mask = jnp.array([[1.0, 0.0]] * 4)
    a, b = jnp.arange(8.0).reshape(4, 2), jnp.arange(12.0).reshape(4, 3)
    xs = [{"a": Masked(jnp.where(mask > 0, a, other), mask), "b": b} for other in (jnp.nan, 9.0)]

    @jax.jit
    def both(xs):
        params = vae.init(key, Examples(xs))
        x = jax.tree.map(lambda leaf: leaf[1], xs)
        p = vae.decode(params, jnp.ones(2))
        return vae.encode(params, x).mean, p.log_prob(x), p.mean

    first, second = (both(each) for each in xs)
    jax.tree.map(np.testing.assert_array_equal, first, second)
    _, log_prob, mean = first
    expected = stats.norm.logpdf(a[1, 0], mean["a"][0]) + stats.norm.logpdf(b[1], mean["b"]).sum()
    np.testing.assert_allclose(log_prob, expected, 1e-5)
    with pytest.raises(ValueError, match="x b is Masked: make the model by masked=True"):
        vae.init(key, Examples({"a": xs[0]["a"], "b": Masked(b, jnp.ones(b.shape))}))
    with pytest.raises(ValueError, match="masked=True needs x a as Masked"):
        vae.init(key, Examples({"a": a, "b": b}))
    with pytest.raises(ValueError, match="must have the fields a, b; got Masked"):
        vae.init(key, Examples(Masked({"a": a, "b": b}, {"a": mask, "b": mask})))
