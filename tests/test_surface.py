"""The public surface: what `import vae_jax` gives, how fast, and what it refuses."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import pytest

import vae_jax
from vae_jax import models


def test_import_alone_loads_nothing_heavy():
    """Mutants: a public name imported at once; a package that pulls in jax."""
    program = "import sys, vae_jax; dir(vae_jax); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.split())
    assert "vae_jax" in loaded
    assert not loaded & {"jax", "jaxlib", "flax", "optax", "orbax", "sklearn", "matplotlib"}


@pytest.mark.parametrize("name", vae_jax.__all__)
def test_every_public_name_resolves_and_says_what_it_is(name):
    """Tables are dictionaries, which have no docstring of their own."""
    value = getattr(vae_jax, name)
    assert name in dir(vae_jax)
    if name != "TABLES":
        assert value.__doc__.strip()
        assert not value.__doc__.startswith(f"{name}(")  # what a NamedTuple is given by default


def test_an_unknown_name_is_refused_in_one_line():
    with pytest.raises(AttributeError, match="has no attribute 'make_vea'; it has ") as caught:
        vae_jax.make_vea  # noqa: B018
    assert "\n" not in str(caught.value) and "make_vae" in str(caught.value)


XS, YS, ZS = jnp.zeros((6, 4)), jnp.zeros(6, jnp.int32), jnp.zeros((6, 2))
# {case: (arguments of make_vae, a call, what the line says)}
CALLS = {
    "batch to encode": (
        {},
        lambda vae, params: vae.encode(params, XS),
        r"^x must be one example of shape \(4,\), got \(6, 4\): lift the function .* jax\.vmap$",
    ),
    "batch to decode": (
        {},
        lambda vae, params: vae.decode(params, ZS),
        r"^z must be one example of shape \(2,\), got \(6, 2\): lift .* jax\.vmap$",
    ),
    "batch of y": (
        {"condition": 3},
        lambda vae, params: vae.encode(params, XS[0], YS),
        r"^y must be one example of shape \(\), got \(6,\): lift .* jax\.vmap$",
    ),
    "no y to encode": (
        {"condition": 3},
        lambda vae, params: vae.encode(params, XS[0]),
        r"^this model is conditional: it needs y, of shape \(\)$",
    ),
    "no y to decode": (
        {"condition": (5,)},
        lambda vae, params: vae.decode(params, ZS[0]),
        r"^this model is conditional: it needs y, of shape \(5,\)$",
    ),
    "no y to a prior p(z|y)": (
        {"condition": 3, "prior": "conditional_gaussian"},
        lambda vae, params: vae.prior(params),
        r"^this model is conditional: it needs y, of shape \(\)$",
    ),
    "one layer of two": (
        {"posterior": "two_layers", "prior": "two_layers"},
        lambda vae, params: vae.decode(params, (ZS[0],)),
        r"^z must have 2 layers, got 1$",
    ),
    "batch of lower layers": (
        {"posterior": "two_layers", "prior": "two_layers"},
        lambda vae, params: vae.decode(params, ZS),
        r"^z must be one example of shape \(2,\), got \(6, 2\): lift .* jax\.vmap$",
    ),
    "other fields": (
        {"shape": {"a": (4,), "b": (4,)}},
        lambda vae, params: vae.encode(params, {"a": XS[0]}),
        r"^x must have the fields a, b; got a$",
    ),
    "an array for fields": (
        {"shape": {"a": (4,), "b": (4,)}},
        lambda vae, params: vae.encode(params, XS[0]),
        r"^x must have the fields a, b; got shape \(4,\)$",
    ),
    "batch of fields": (
        {"shape": {"a": (4,), "b": (4,)}},
        lambda vae, params: vae.encode(params, {"a": XS[0], "b": XS}),
        r"^x b must be one example of shape \(4,\), got \(6, 4\): lift .* jax\.vmap$",
    ),
}


@pytest.mark.parametrize("case", CALLS)
def test_what_is_no_single_example_is_refused_in_one_line(case):
    """Mutants: a batch flattened to one example, a y of zeros where it is missing."""
    options, call, message = CALLS[case]
    shape = options.get("shape", (4,))
    options = {"latent_dim": 2, "hidden": (3,)} | options | {"shape": shape}
    vae = models.make_vae(**options)
    xs = {"a": XS, "b": XS} if isinstance(shape, dict) else XS
    params = jax.eval_shape(vae.init, jax.random.key(0), vae_jax.Examples(xs, YS))
    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), params)
    with pytest.raises(ValueError, match=message):
        call(vae, zeros)
