from vae_jax.networks.convolutional import *  # noqa: F403
