"""The products that stand for convolutions on a CPU against XLA's own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.support.quick import quick
from vae_jax import datasets, models, objectives
from vae_jax.fast import convolutions

PAIRS = {
    "down": (convolutions.downsample_by_product, convolutions.plain_downsample),
    "up": (convolutions.upsample_by_product, convolutions.plain_upsample),
    "same": (convolutions.same_by_product, convolutions.plain_same),
}


@pytest.mark.parametrize("pair", quick(PAIRS, "down"))
@pytest.mark.parametrize(
    ("shape", "outputs"),
    quick([((6, 10, 3), 5), ((4, 6, 2), 6), ((2, 2, 1), 1)], ((6, 10, 3), 5), ((4, 6, 2), 6)),
)
def test_values_and_gradients_are_those_of_the_convolution(pair, shape, outputs):
    """Few outputs and many, which are computed otherwise; forward-mode derivatives too. Mutants: a
    tap of the kernel turned or shifted, a parity exchanged."""
    keys = jax.random.split(jax.random.key(0), 3)
    x = jax.random.normal(keys[0], shape)
    width = 3 if pair == "same" else 4
    kernel = jax.random.normal(keys[1], (width, width, shape[-1], outputs))
    ours, native = PAIRS[pair]
    expected = native(x, kernel)
    factor = {"down": 0.5, "up": 2, "same": 1}[pair]
    assert expected.shape == (*(int(factor * side) for side in shape[:2]), outputs)
    np.testing.assert_allclose(ours(x, kernel), expected, rtol=1e-4, atol=1e-4)
    weights = jax.random.normal(keys[2], expected.shape)
    gradients = [
        jax.grad(lambda x, k, f=f: jnp.sum(weights * f(x, k)), argnums=(0, 1))(x, kernel)
        for f in (ours, native)
    ]
    for a, b in zip(*gradients, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)
    tangents = [jax.jvp(f, (x, kernel), (x**2, jnp.sin(kernel)))[1] for f in (ours, native)]
    np.testing.assert_allclose(*tangents, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_the_loss_of_a_step_has_forward_mode_derivatives():
    """Of a convolutional model, along random changes of all parameters, against the gradient that
    reverse mode gives. Mutant: a rule for reverse mode alone, which jvp refuses."""
    vae = models.make_vae((8, 8, 1), latent_dim=2, network="conv", channels=(2, 3), hidden=(4,))
    objective = objectives.make_objective("elbo")
    xs = np.random.default_rng(0).integers(0, 2, (3, 8, 8, 1)).astype(np.float32)
    params = {"vae": vae.init(jax.random.key(0), datasets.Examples(xs)), "objective": {}}
    changes = jax.tree.map(lambda p: jnp.cos(jnp.arange(p.size)).reshape(p.shape), params)

    @jax.jit
    def derivatives(params):
        def loss(params):
            batch = datasets.Examples(xs)
            return objective.loss(jax.random.key(1), vae, params, objective.hparams, batch, 0)[0]

        _, forward = jax.jvp(loss, (params,), (changes,))
        products = jax.tree.map(jnp.vdot, jax.grad(loss)(params), changes)
        return forward, sum(jax.tree.leaves(products))

    np.testing.assert_allclose(*derivatives(params), rtol=1e-4)


def test_the_platform_decides():
    """On a CPU no convolution is left in the program; for a GPU it is."""
    x, kernel = jnp.ones((4, 4, 2)), jnp.ones((4, 4, 2, 3))
    for function in (convolutions.downsample, convolutions.upsample):
        for platform, convolves in (("cpu", False), ("cuda", True)):
            exported = jax.export.export(jax.jit(function), platforms=[platform])(x, kernel)
            assert ("stablehlo.convolution" in exported.mlir_module()) == convolves
