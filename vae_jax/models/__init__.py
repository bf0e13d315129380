from vae_jax.models.vae import *  # noqa: F403
