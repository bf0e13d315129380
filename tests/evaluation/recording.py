"""A model of two fields that tells which keys it draws with."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from vae_jax.distributions import Distribution
from vae_jax.models import VAE

SHAPE = (4, 8, 1)


class Recorded(Distribution):
    """Stands in for q(z|x), p(z) and p(x|z): every draw reports its key."""

    def __init__(self, note: Callable[[Any], None]) -> None:
        self.note = note

    def sample(self, key):
        """Report the key; return zeros."""
        jax.debug.callback(self.note, jax.random.key_data(key))
        return jnp.zeros(2)

    def sample_and_log_prob(self, key):
        """Report the key; return zeros."""
        return self.sample(key), jnp.zeros(())

    def log_prob(self, value):
        """Return zero."""
        return jnp.zeros(())


class Decoded(Recorded):
    """p(x|z), whose mean is black."""

    mean = {"lower": jnp.zeros(SHAPE), "upper": jnp.zeros(SHAPE)}  # noqa: RUF012 (never changed)


def make_recording_vae(note: Callable[[Any], None]) -> VAE:
    """Make a VAE without parameters that hands the words of every key to `note`."""
    return VAE(
        init=lambda key, examples: {},
        encode=lambda params, x, y=None: Recorded(note),
        decode=lambda params, z, y=None: Decoded(note),
        prior=lambda params, y=None: Recorded(note),
        latents="classes",
    )
