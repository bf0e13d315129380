"""Every tuned form against its plain form: the same values and the same gradients.

Oracle: the plain form beside it, to float32's rounding. jax's own generator stands for the plain
form of `threefry`.
"""

from collections.abc import Callable
import importlib
import inspect
import pkgutil
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from vae_jax import fast
from vae_jax.fast import (
    adam,
    bits,
    convolutions,
    mapping,
    mixtures,
    polygons,
    reductions,
    threefry,
    updates,
)

RNG = np.random.default_rng(0)


def normal(*shape):
    return RNG.normal(size=shape).astype(np.float32)


class Case(NamedTuple):
    """A tuned and a plain function, and the arguments that both are called with."""

    name: str
    tuned: Callable
    plain: Callable
    arguments: tuple
    """Those of a float type are differentiated by."""


def pair(module, name, *arguments, lift=lambda function: function, label=""):
    """Make the case of module.name and module.plain_name, each put to use by `lift`."""
    tuned, plain = getattr(module, name), getattr(module, f"plain_{name}")
    return Case(f"{name} {label}".rstrip(), lift(tuned), lift(plain), arguments)


def over_steps(make_optimizer):
    """Return a function of params and of the gradients of some steps, which gives all updates."""

    def run(params, gradients):
        optimizer = make_optimizer()
        state, outputs = optimizer.init(params), []
        for step in range(len(jax.tree.leaves(gradients)[0])):
            gradient = jax.tree.map(lambda leaf, step=step: leaf[step], gradients)
            update, state = optimizer.update(gradient, state, params)
            outputs.append(update)
        return outputs

    return run


def of_sgd(function):
    """Return what over_steps gives of a wrapped stochastic gradient descent."""
    return over_steps(lambda: function(optax.sgd(0.1, 0.9)))


def mapped(function, **options):
    """Return the map of a nonlinear function of two arrays, whose output is a dict."""

    def one(element):
        a, b = element["a"], element["b"]
        return {"product": jnp.outer(a, b), "sum": jnp.sum(jnp.tanh(a)) * jnp.mean(b)}

    return lambda tree: function(one, tree, **options)


def mapping_case(count, label, **options):
    """Make a case of `map_leading`, whose plain form knows no groups."""
    return Case(
        f"map_leading {label}",
        mapped(mapping.map_leading, **options),
        mapped(mapping.plain_map_leading),
        ({"a": normal(count, 3), "b": normal(count, 2)},),
    )


def elementwise(function):
    """Return the sum of a function of three arrays, which broadcast."""

    def per_element(x, mean, log_scale):
        return ((x - mean) * jnp.exp(-log_scale)) ** 2 + log_scale

    return lambda *arrays: function(per_element, *arrays)


def words(make):
    """Return the words of what `make` gives of a key, for keys of ours and of jax's own."""
    ours, jaxs = (
        lambda seed, key=key: jax.random.key_data(make(key(seed)))
        for key in (threefry.key, lambda seed: jax.random.key(seed, impl="threefry2x32"))
    )
    return ours, jaxs, (123456789,)


def star(size=40, count=11):
    """Return a polygon that crosses itself, several times in a row, and the edges of its rows."""
    vertices = RNG.integers(0, polygons.SUBPIXELS * size, (count, 2)).astype(np.int32)
    return vertices, polygons.edges_of_rows(vertices[None, :, 1], size)[0]


WEIGHTS = {"bias": normal(3), "kernel": normal(2, 3)}
FIVE_GRADIENTS = {"bias": normal(5, 3), "kernel": normal(5, 2, 3)}
BITS = RNG.integers(0, 2, 784).astype(np.float32)
IMAGE = normal(6, 10, 3)
CASES = [
    pair(bits, "log_prob_of_bits", BITS, 4 * normal(784)),
    pair(bits, "log_prob_of_bits", BITS[:7], normal(7), label="of seven"),
    pair(convolutions, "downsample", IMAGE, normal(4, 4, 3, 5)),
    pair(convolutions, "upsample", IMAGE, normal(4, 4, 3, 5)),
    pair(convolutions, "upsample", IMAGE, normal(4, 4, 3, 1), label="to one channel"),
    pair(convolutions, "same", IMAGE, normal(3, 3, 3, 5)),
    pair(mixtures, "gaussian_log_probs", normal(5), normal(7, 5), 0.3 * normal(7, 5)),
    pair(
        mixtures,
        "gaussian_log_probs",
        normal(4, 5),
        normal(7, 5),
        0.3 * normal(7, 5),
        lift=lambda function: jax.vmap(function, (0, None, None)),
        label="of a batch",
    ),
    pair(
        mixtures,
        "gaussian_log_probs",
        normal(5),
        normal(67, 5),
        0.3 * normal(67, 5),
        label="in groups of unequal sizes",
    ),
    pair(adam, "scale_by_adam", WEIGHTS, FIVE_GRADIENTS, lift=over_steps),
    pair(
        adam,
        "scale_by_adam",
        WEIGHTS,
        FIVE_GRADIENTS,
        lift=lambda function: over_steps(lambda: function(0.7, 0.9, 0.1)),
        label="with other options",
    ),
    pair(
        reductions,
        "sum_elementwise",
        normal(8, 9, 1),
        normal(9, 1),
        np.float32(0.3),
        lift=elementwise,
    ),
    pair(reductions, "mean_over_examples", normal(7, 3, 2)),
    pair(
        reductions,
        "mean_over_examples",
        RNG.integers(0, 256, (7, 3), dtype=np.uint8),
        label="of bytes",
    ),
    mapping_case(1, "of one element"),
    mapping_case(5, "in groups of one", at_once=1),
    mapping_case(5, "in groups of two", at_once=2),
    mapping_case(5, "of all"),
    mapping_case(3, "of fewer than a group", at_once=4),
    pair(updates, "update_after_backward", WEIGHTS, FIVE_GRADIENTS, lift=of_sgd),
    pair(polygons, "fill", *star()),
    Case("split", *words(lambda key: jax.random.split(key, (3, 5)))),
    Case("fold_in", *words(lambda key: jax.random.fold_in(key, 77))),
]


def is_float(leaf):
    return jnp.issubdtype(jnp.result_type(leaf), jnp.floating)


def assert_equal_to_rounding(tuned, plain):
    assert jax.tree.structure(tuned) == jax.tree.structure(plain)
    for a, b in zip(*map(jax.tree.leaves, (tuned, plain)), strict=True):
        assert a.shape == b.shape and a.dtype == b.dtype
        if is_float(b):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5 * np.abs(b).max())
        else:
            np.testing.assert_array_equal(a, b)


def value_and_gradients(function, arguments):
    """Return function(*arguments), and the gradients of a random weighting of its outputs."""
    flat = [jax.tree.leaves(each)[0] for each in arguments]
    argnums = tuple(i for i, leaf in enumerate(flat) if is_float(leaf))
    value = jax.jit(function)(*arguments)
    if not argnums:
        return value, ()
    rng = np.random.default_rng(1)
    weights = [rng.normal(size=leaf.shape).astype(np.float32) for leaf in jax.tree.leaves(value)]

    def weighted(*arguments):
        leaves = jax.tree.leaves(function(*arguments))
        return sum(jnp.sum(w * leaf) for w, leaf in zip(weights, leaves, strict=True))

    return value, jax.jit(jax.grad(weighted, argnums))(*arguments)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_tuned_form_is_the_plain_one(case):
    """Mutants: eight bits in a group where fewer are left, a tap of a kernel turned, a term of a
    hand-written derivative dropped, eps corrected twice, a remainder of a group left out, an axis
    of length one that stays, a sum in the place of a mean, a rotation of the generator changed."""
    tuned = value_and_gradients(case.tuned, case.arguments)
    plain = value_and_gradients(case.plain, case.arguments)
    assert_equal_to_rounding(tuned, plain)


def test_every_pair_has_a_case():
    """Mutant: a tuned function with a plain one beside it, which nothing above compares."""
    pairs = set()
    for each in pkgutil.iter_modules(fast.__path__):
        module = importlib.import_module(f"vae_jax.fast.{each.name}")
        names = {name for name, value in vars(module).items() if inspect.isroutine(value)}
        names |= {name for name, value in vars(module).items() if isinstance(value, jax.custom_jvp)}
        plain = {name.removeprefix("plain_") for name in names if name.startswith("plain_")}
        assert plain <= names, f"{each.name}: no tuned form of {plain - names}"
        pairs |= plain
    assert len(pairs) >= 10
    assert pairs - {case.name.split()[0] for case in CASES} == set()
