"""A decoder as a list of layers and one array of weights, which a page can run: see decoder.js.

Only networks and likelihoods that are named here are told to the page; any other one is refused, so
that the page never shows another function than the model's.
"""

from collections.abc import Callable, Mapping
import math
from typing import Any

import jax
import numpy as np

from vae_jax.lookup import look_up, name_of, options_of, take_options
from vae_jax.model import Model
from vae_jax.models import LIKELIHOODS, Field
from vae_jax.networks import ACTIVATIONS, NETWORKS, ConvDecoder, DenseDecoder

MOST_MEGABYTES = 20  # of weights in a page, as text

# decoder.js has a function for each.
_ACTIVATIONS = ("elu", "gelu", "relu", "silu", "tanh")
# {likelihood: how decoder.js gets the mean of p(x|z) from the outputs}
_MEANS = {
    "bernoulli": "logistic",
    "binomial": "logistic",
    "continuous_bernoulli": "continuous_bernoulli",
    "gaussian": "first",
    "squared_error": "first",
    "gaussian_learned_scale": "first",
    "gaussian_optimal_scale": "first",
    "gaussian_scale_per_column": "first",
    "gaussian_scale_per_value": "first",
    "discretized_logistic": "discretized_logistic",
    "categorical": "levels",
    "one_hot": "softmax",
    "poisson": "exponential",
    "negative_binomial": "exponential",
}
# Kinds of z, each of whose dimensions is a number of its own: the others have no slider each.
_LATENTS = ("real", "positive", "unit")


class Weights:
    """Arrays that are put one after the other, as float32."""

    def __init__(self) -> None:
        self.arrays: list[np.ndarray] = []
        self.size = 0

    def add(self, array: Any) -> int:
        """Keep an array, in C order, and return the place where it begins."""
        start = self.size
        self.arrays.append(np.ravel(np.asarray(array, np.float32)))
        self.size += self.arrays[-1].size
        return start

    def joined(self) -> np.ndarray:
        """Return all of them as one."""
        return np.concatenate(self.arrays)


def describe_decoder(model: Model) -> tuple[dict[str, Any], np.ndarray]:
    """Return what decoder.js computes the mean of p(x|z, y) from: a description, and the weights.

    The layers compute in float32 whatever the model's precision.

    Raises:
      ValueError: a network, an activation, a likelihood, latents or a condition that the page has
        no function for, or more weights than a page may hold.
    """
    check_model(model)
    arguments, weights = model.vae.arguments, Weights()
    row = look_up(LIKELIHOODS, arguments["likelihood"], "likelihood")
    options = take_options(row, arguments)
    likelihood = row.make(arguments["num_levels"], **options)
    field = Field(tuple(arguments["shape"]), row.values, likelihood)
    module = _make_module(arguments, field.output_shape)
    layers = _DECODERS[type(module)](module, model.params["decoder"], weights.add)
    check_complete(weights, model.params["decoder"])
    described = {
        "layers": layers,
        "bias": weights.add(model.params["likelihood"]["output_bias"]),
        "size": math.prod(field.shape) * likelihood.num_outputs,
        "mean": _describe_mean(arguments, field, (options_of(row) | options)),
    }
    check_size(weights)
    return described, weights.joined()


def _make_module(arguments: Mapping[str, Any], shape: tuple[int, ...]) -> Any:
    """Return the decoder's Flax module.

    Raises:
      ValueError: one that the page cannot run.
    """
    network = look_up(NETWORKS, arguments["network"], "network")
    module = network(**take_options(network, arguments)).decoder(shape)
    if type(module) not in _DECODERS:
        known = ", ".join(each.__name__ for each in _DECODERS)
        raise ValueError(
            f"network={name_of(arguments['network'])!r}: its decoder is a "
            f"{type(module).__name__}, which the page cannot run; it runs {known}"
        )
    return module


def _describe_mean(arguments, field, options):
    # How the outputs for one value become its mean; what a kind does not need is not used.
    num_levels = arguments["num_levels"]
    return {
        "kind": _MEANS[arguments["likelihood"]],
        "perValue": field.likelihood.num_outputs,
        "levels": num_levels,
        "floor": options.get("likelihood_floor"),
        # The lengths of one-hot vectors, one after the other.
        "sizes": num_levels if isinstance(num_levels, tuple) else field.shape[-1:],
    }


def check_model(model: Model) -> None:
    """Refuse a model of which the page could not show everything.

    Raises:
      ValueError: with the name of what is not supported, and what is.
    """
    arguments = model.vae.arguments
    if not model.dataset.is_plain:
        fields = ", ".join(model.dataset.fields)
        raise ValueError(f"the page draws examples of one array; this model's have fields {fields}")
    if model.vae.latents not in _LATENTS:
        raise ValueError(
            f"posterior={name_of(arguments['posterior'])!r}: its latents are {model.vae.latents}, "
            f"which have no slider each; those of the page are {', '.join(_LATENTS)}"
        )
    if isinstance(model.vae.condition, tuple):
        raise ValueError(
            f"the model is given an array of shape {model.vae.condition}: the page lets choose "
            "a class, but no array"
        )
    if arguments["likelihood"] not in _MEANS:
        raise ValueError(
            f"likelihood={name_of(arguments['likelihood'])!r} has a mean that the page cannot "
            f"compute; it does those of {', '.join(_MEANS)}"
        )
    if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(model.params)):
        raise ValueError("the parameters are not all finite numbers: the training has failed")


def check_size(weights: Weights) -> None:
    """Refuse weights that would make a page too large.

    Raises:
      ValueError: with their number and the size of the page.
    """
    megabytes = weights.size * 4 * (4 / 3) / 1e6  # base64 takes four characters for three bytes
    if megabytes > MOST_MEGABYTES:
        raise ValueError(
            f"the decoder has {weights.size:,} parameters, {megabytes:.1f} MB in a page, which "
            f"holds {MOST_MEGABYTES} MB at most: explore a model with smaller layers"
        )


def check_complete(weights: Weights, params: Any) -> None:
    """Refuse a description that leaves some of the decoder's parameters out.

    Raises:
      ValueError: with how many the decoder has, and how many were described.
    """
    count = sum(np.size(leaf) for leaf in jax.tree.leaves(params))
    if count != weights.size:
        raise ValueError(
            f"the decoder has {count:,} parameters, of which its layers explain {weights.size:,}: "
            "the page cannot run it"
        )


def _dense_decoder(module: DenseDecoder, params: Any, add: Callable) -> list[dict]:
    hidden = _dense_stack(module.layers, params, add)
    return [*hidden, _dense(params["Dense_1"], add)]


def _conv_decoder(module: ConvDecoder, params: Any, add: Callable) -> list[dict]:
    layers, (height, width, _) = module.layers, module.shape
    factor = 2 ** len(layers.channels)
    sides = [height // factor, width // factor]
    described = _dense_stack(layers, params, add)
    for i in range(len(layers.channels) - 1):
        block = params[f"ConvolutionalBlock_{i}"]
        described.append(_convolution("upsample", block["Convolution_0"], sides, add))
        sides = [2 * side for side in sides]
        if layers.residual:
            described.append(_residual(layers, block, sides, add))
        described.append(_activation(layers.activation))
    return [*described, _convolution("upsample", params["Convolution_0"], sides, add)]


_DECODERS = {DenseDecoder: _dense_decoder, ConvDecoder: _conv_decoder}


def _dense_stack(layers, decoder, add):
    params = decoder.get("Dense_0", {})  # without hidden layers it has no parameters
    described, names = [], iter(sorted(params, key=lambda name: int(name.split("_")[1])))
    for name in names:
        dense = _dense(params[name], add)
        if layers.gated:
            described.append({"kind": "gated", "of": dense, "by": _dense(params[next(names)], add)})
        else:
            described += [dense, _activation(layers.activation)]
    return described


def _residual(layers, block, sides, add):
    # x + conv(act(conv(act(x))))
    convolutions = [_convolution("same", block[f"Convolution_{i}"], sides, add) for i in (1, 2)]
    activation = _activation(layers.activation)
    first, second = convolutions
    return {"kind": "residual", "layers": [activation, first, activation, second]}


def _dense(params, add):
    inputs, outputs = params["kernel"].shape
    return {"kind": "dense", "inputs": inputs, "outputs": outputs} | _arrays(params, add)


def _convolution(kind, params, sides, add):
    *_, inputs, outputs = params["kernel"].shape
    sizes = {"height": sides[0], "width": sides[1], "inputs": inputs, "outputs": outputs}
    return {"kind": kind} | sizes | _arrays(params, add)


def _arrays(params, add):
    bias = add(params["bias"]) if "bias" in params else None
    return {"kernel": add(params["kernel"]), "bias": bias}


def _activation(function):
    (name,) = (each for each, known in ACTIVATIONS.items() if known is function)
    if name not in _ACTIVATIONS:
        raise ValueError(
            f"activation={name!r}: the page cannot compute it; it does {', '.join(_ACTIVATIONS)}"
        )
    return {"kind": name}
