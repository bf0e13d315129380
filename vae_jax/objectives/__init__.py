from vae_jax.objectives.elbo import *  # noqa: F403
