"""Every network and initializer against numpy and XLA's own convolutions."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from tests.support.quick import quick
from tests.support.rows import KEY, random_params, small_options
from vae_jax.datasets import Examples
from vae_jax.lookup import take_options
from vae_jax.models import make_vae
from vae_jax.networks import (
    INITIALIZERS,
    NETWORKS,
    ConvDecoder,
    ConvEncoder,
    Dense,
    DenseEncoder,
    Layers,
    channels_for,
)
from vae_jax.networks.convolutional import ConvolutionalBlock

SHAPE = (8, 8, 3)
SIZES = {"hidden": (7, 6), "channels": (2, 4)}

networks = pytest.mark.parametrize("network", quick(NETWORKS, "mlp", "gated_mlp"))


def modules(network):
    """Return the encoder and the decoder of a row."""
    pair = NETWORKS[network](**take_options(NETWORKS[network], SIZES))
    return pair.encoder(5), pair.decoder(SHAPE)


def random_variables(module, *inputs, seed=0):
    """Return parameters drawn from N(0, .5^2)."""
    rng = np.random.default_rng(seed)
    shapes = jax.eval_shape(module.init, KEY, *inputs)
    return jax.tree.map(lambda leaf: jnp.float32(0.5 * rng.normal(size=leaf.shape)), shapes)


@networks
def test_network_has_the_shapes_asked_for(network):
    """jit = eager too. Mutant: the convolutional decoder's sides turned."""
    encoder, decoder = modules(network)
    for module, x, expected in ((encoder, jnp.ones(SHAPE), (5,)), (decoder, jnp.ones(4), SHAPE)):
        variables = random_variables(module, x)
        outputs = module.apply(variables, x)
        assert outputs.shape == expected
        np.testing.assert_allclose(jax.jit(module.apply)(variables, x), outputs, 1e-4, atol=1e-5)


@networks
def test_context_changes_the_outputs(network):
    """Of an encoder, of a decoder. Mutant: a context joined to the input of one of them alone."""
    for module, x in zip(modules(network), (jnp.ones(SHAPE), jnp.ones(4)), strict=True):
        contexts = jnp.eye(2)
        variables = random_variables(module, x, contexts[0])
        first, second = (module.apply(variables, x, context) for context in contexts)
        assert np.all(np.abs(first - second) > 1e-5)


@networks
def test_condition_reaches_every_part(network):
    """Of a model by its label. Mutant: featurize handed to the encoder alone."""
    rows = small_options(network, prior="conditional_gaussian", **SIZES)
    vae = make_vae(SHAPE, condition=2, latent_dim=3, **rows)
    params = random_params(vae, Examples(jnp.ones((2, *SHAPE)), jnp.arange(2)))
    x, z = jnp.ones(SHAPE), jnp.ones(3)
    for call in (vae.encode, vae.decode):
        means = [call(params, {vae.encode: x, vae.decode: z}[call], y).mean for y in (0, 1)]
        assert np.all(means[0] != means[1])
    assert np.all(vae.prior(params, 0).mean != vae.prior(params, 1).mean)


@pytest.mark.parametrize(
    ("shape", "halvings"),
    [((8, 8), 1), ((16, 16), 2), ((28, 28), 2), ((32, 32), 3), ((48, 64), 3), ((218, 178), 5)],
)
def test_channels_suit_the_image(shape, halvings):
    """The shorter side ends at 4 .. 7 pixels. Mutants: the longer side, one halving too many."""
    channels = channels_for((), (*shape, 3))
    assert channels == (32, 64, 128, 128, 128)[:halvings]
    assert 4 <= min(shape) // 2 ** len(channels) <= 7
    assert channels_for((5,), (*shape, 3)) == (5,)


def test_sides_are_filled_up_with_zeros():
    """Below and on the right, where the decoder cuts off. Oracle: the image filled up by hand.

    Mutants: zeros above, the decoder's outputs cut off on the left, edges repeated.
    """
    layers = Layers((4,), jnp.tanh, channels=(2, 3))
    shape, whole = (5, 7, 2), (8, 8, 2)
    encoder, decoder = ConvEncoder(layers, 3), ConvDecoder(layers, shape)
    x = jnp.float32(np.random.default_rng(0).normal(size=shape))
    by_hand = jnp.zeros(whole).at[: shape[0], : shape[1]].set(x)
    variables = random_variables(encoder, x)
    encode, decode = jax.jit(encoder.apply), jax.jit(decoder.apply)
    np.testing.assert_allclose(encode(variables, x), encode(variables, by_hand), 1e-4, atol=1e-6)
    variables = random_variables(decoder, jnp.ones(3))
    full = jax.jit(ConvDecoder(layers, whole).apply)(variables, jnp.ones(3))
    outputs = decode(variables, jnp.ones(3))
    np.testing.assert_allclose(outputs, full[: shape[0], : shape[1]], 1e-4, atol=1e-6)


# Layers by hand.


def test_gated_layers_are_their_formula():
    """(W x + b) sigmoid(V x + c), twice, by numpy. Mutants: an activation besides, W for V."""
    module = Dense(Layers((), jnp.tanh, gated=True), (4, 3))
    x = np.random.default_rng(0).normal(size=5)
    variables = random_variables(module, jnp.float32(x))
    layers = {name: jax.tree.map(np.float64, each) for name, each in variables["params"].items()}
    assert set(layers) == {f"Dense_{i}" for i in range(4)}
    expected = x
    for i in (0, 2):
        w, v = layers[f"Dense_{i}"], layers[f"Dense_{i + 1}"]
        gate = special.expit(expected @ v["kernel"] + v["bias"])
        expected = (expected @ w["kernel"] + w["bias"]) * gate
    np.testing.assert_allclose(module.apply(variables, jnp.float32(x)), expected, 1e-4)


def test_gated_network_has_no_other_nonlinearity():
    """Mutant: the outputs gated too, which are means and log-scales of either sign."""
    module = DenseEncoder(Layers((), jnp.tanh, gated=True), 4)
    x = jnp.arange(3.0)
    variables = random_variables(module, x)
    last = variables["params"]["Dense_1"]
    expected = x @ last["kernel"] + last["bias"]
    np.testing.assert_allclose(module.apply(variables, x), expected, 1e-5)


def convolve(x, layer):
    """Convolve by XLA with stride 1 and padding "SAME"."""
    dimensions = ("NHWC", "HWIO", "NHWC")
    kernel, precision = layer["kernel"], jax.lax.Precision.HIGHEST
    outputs = jax.lax.conv_general_dilated(
        x[None], kernel, (1, 1), "SAME", dimension_numbers=dimensions, precision=precision
    )
    return outputs[0] + layer["bias"]


def test_residual_block_is_its_formula():
    """h = C x; tanh(h + C3 tanh(C2 tanh h)), by XLA's convolution.

    Mutants: no sum, an activation after instead of before each convolution.
    """
    x = jnp.float32(np.random.default_rng(0).normal(size=(6, 5, 3)))
    # With a convolution that keeps the size, in the place of the one that halves it.
    rng = np.random.default_rng(1)
    layers = {
        f"Convolution_{i}": {
            "kernel": jnp.float32(0.3 * rng.normal(size=(width, width, inputs, 4))),
            "bias": jnp.float32(rng.normal(size=4)),
        }
        for i, (width, inputs) in enumerate([(4, 3), (3, 4), (3, 4)])
    }

    def keep(x, kernel):
        return convolve(x, {"kernel": kernel, "bias": 0})

    module = ConvolutionalBlock(Layers((), jnp.tanh, residual=True), 4, keep)
    first, second, third = layers.values()
    h = convolve(x, first)
    expected = jnp.tanh(h + convolve(jnp.tanh(convolve(jnp.tanh(h), second)), third))
    np.testing.assert_allclose(module.apply({"params": layers}, x), expected, 1e-4, atol=1e-5)


@pytest.mark.parametrize(("network", "blocks"), [("conv", 1), ("resnet", 3)])
def test_residual_row_has_its_convolutions(network, blocks):
    """Mutant: a residual row that is the plain one."""
    encoder, decoder = modules(network)
    for module, x in ((encoder, jnp.ones(SHAPE)), (decoder, jnp.ones(4))):
        params = jax.eval_shape(module.init, KEY, x)["params"]
        counts = [len(each) for name, each in params.items() if name.startswith("Convolutional")]
        assert counts == ([blocks] * 2 if module is encoder else [blocks])


# Initializers.

# {name: variance of a kernel times (fan_in + fan_out) / 2, or times fan_in}.
VARIANCES = {
    "glorot_normal": ("average", 1),
    "glorot_uniform": ("average", 1),
    "he_normal": ("in", 2),
    "he_uniform": ("in", 2),
    "lecun_normal": ("in", 1),
}


@pytest.mark.slow
@pytest.mark.parametrize("initializer", quick(INITIALIZERS, "glorot_uniform"))
def test_kernels_have_the_variance_of_their_formula(initializer):
    """Glorot & Bengio (2010), He et al. (2015), LeCun et al. (1998), four standard errors.

    Estimator: the mean square of N kernel entries, whose standard error is at most that of a
    Gaussian's, variance sqrt(2 / N). Mutants: fan_out for fan_in, a filter's taps not counted, the
    row of a neighbour, an unscaled kernel.
    """
    fan, gain = VARIANCES[initializer]
    layers = Layers((90,), jnp.tanh, INITIALIZERS[initializer], channels=(64,))
    dense, conv = DenseEncoder(layers, 30), ConvEncoder(layers._replace(hidden=()), 30)
    decoder = ConvDecoder(layers._replace(hidden=()), (4, 4, 24))
    kernels = [
        dense.init(KEY, jnp.ones(200))["params"]["Dense_0"]["Dense_0"]["kernel"],
        conv.init(KEY, jnp.ones((4, 4, 20)))["params"]["ConvolutionalBlock_0"]["Convolution_0"][
            "kernel"
        ],
        decoder.init(KEY, jnp.ones(9))["params"]["Convolution_0"]["kernel"],
    ]
    shapes = [(200, 90), (4, 4, 20, 64), (4, 4, 64, 24)]
    assert [kernel.shape for kernel in kernels] == shapes
    for kernel, shape in zip(kernels, shapes, strict=True):
        taps = math.prod(shape[:-2])
        fans = {"in": taps * shape[-2], "average": taps * (shape[-2] + shape[-1]) / 2}
        square = np.float64(kernel) ** 2
        assert abs(square.mean() * fans[fan] / gain - 1) < 4 * math.sqrt(2 / square.size)
        assert (np.abs(kernel).max() ** 2 <= 3.0001 * gain / fans[fan]) == (
            "uniform" in initializer
        )


def test_biases_start_at_zero():
    """Mutant: the kernels' initializer given to the biases."""
    params = DenseEncoder(Layers((9,), jnp.tanh), 4).init(KEY, jnp.ones(5))["params"]
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        assert ("bias" in jax.tree_util.keystr(path)) == bool(np.all(leaf == 0))


@pytest.mark.slow
@pytest.mark.parametrize("initializer", ["he_normal", "he_uniform"])
def test_every_kernel_of_a_model_has_the_row(initializer):
    """Uniform kernels are bounded, others are not: of encoder and decoder, not of the first alone.

    Mutant: a layer left at flax's default.
    """
    vae = make_vae((20,), initializer=initializer, hidden=(200, 200), latent_dim=30)
    params = jax.jit(vae.init)(KEY, Examples(jnp.ones((1, 20))))
    networks = (params["encoder"], params["decoder"])
    kernels = [leaf for leaf in jax.tree.leaves(networks) if leaf.ndim == 2]
    assert len(kernels) == 6
    fan, gain = VARIANCES[initializer]
    for kernel in kernels:
        variance = gain / (kernel.shape[0] if fan == "in" else sum(kernel.shape) / 2)
        bounded = np.abs(kernel).max() ** 2 <= 3.0001 * variance
        assert bounded == ("uniform" in initializer)
        assert abs(np.mean(np.float64(kernel) ** 2) / variance - 1) < 4 * math.sqrt(2 / kernel.size)
