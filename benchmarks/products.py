"""The matrix products of a training step alone: what no step can be faster than."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.timing import Run

Layers = Sequence[tuple[int, int, int]]
"""(rows, inputs, outputs) of each layer, in order."""


def layers_of_vae(batch_size: int, hidden: int, num_samples: int = 1, latent: int = 50) -> Layers:
    """Return the layers of a 784-hidden-hidden-latent VAE; the decoder sees every sample."""
    rows = batch_size * num_samples
    return (
        (batch_size, 784, hidden),
        (batch_size, hidden, hidden),
        (batch_size, hidden, 2 * latent),
        (rows, latent, hidden),
        (rows, hidden, hidden),
        (rows, hidden, 784),
    )


def _arrays(layers):
    generator = np.random.default_rng(0)
    return [
        [generator.standard_normal(size, np.float32) for size in ((r, i), (i, o), (r, o))]
        for r, i, o in layers
    ]


def numpy_products(layers: Layers, backward: bool = True) -> Run:
    """Make run(num_steps) of numpy's products: forward, and both backward ones."""
    arrays = _arrays(layers)

    def run(num_steps):
        for _ in range(num_steps):
            for layer, (inputs, weights, outputs) in enumerate(arrays):
                inputs @ weights
                if backward:
                    inputs.T @ outputs
                    if layer:  # nobody asks for the gradient in the data
                        outputs @ weights.T

    return run


def jax_products(layers: Layers, backward: bool = True) -> Run:
    """Make run(num_steps) of the same products in one compiled loop."""
    arrays = _arrays(layers)

    @jax.jit
    def loop(arrays, num_steps):
        def step(_, nothing):
            # Each product is shifted by the last one's corner, so that none leaves the loop.
            for layer, (inputs, weights, outputs) in enumerate(arrays):
                nothing = 1e-30 * jnp.dot(inputs + nothing, weights)[0, 0]
                if backward:
                    nothing = 1e-30 * jnp.dot(inputs.T, outputs + nothing)[0, 0]
                    if layer:
                        nothing = 1e-30 * jnp.dot(outputs + nothing, weights.T)[0, 0]
            return nothing

        return jax.lax.fori_loop(0, num_steps, step, jnp.float32(0))

    return lambda num_steps: jax.block_until_ready(loop(arrays, num_steps))
