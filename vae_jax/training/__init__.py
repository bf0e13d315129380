from vae_jax.training.loop import *  # noqa: F403
